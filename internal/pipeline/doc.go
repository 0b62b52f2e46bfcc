// Package pipeline tests config, gateway and proxy together: what of files becomes statuses and a data plane, whichever way they are
// written, and that no field of theirs is dropped without a word. It has no code of its own.
package pipeline
