// The bounds of a load.

package config

// limits bound what a load may take in, so that no file can exhaust memory or time. All are far above what a large
// installation uses: 10,000 routes of 2 KiB are 20 MiB.
type limits struct {
	fileBytes  int64 // of one file
	totalBytes int64 // of all files
	files      int
	dirDepth   int // of directories in directories
	depth      int // of values in values, aliases expanded
	// aliasValues and aliasBytes are what the aliases of one document may add to it when they are expanded.
	aliasValues int64
	aliasBytes  int64
	objects     int // of one document: the items of a List
}

// defaultLimits are those of every Loader; tests lower them.
var defaultLimits = limits{
	fileBytes:   16 << 20,
	totalBytes:  512 << 20,
	files:       100_000,
	dirDepth:    32,
	depth:       100,
	aliasValues: 100_000,
	aliasBytes:  16 << 20,
	objects:     100_000,
}
