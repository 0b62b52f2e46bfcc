// What is said of a command line that cannot be understood: what was perhaps meant, for people who come from kubectl, too.

package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// habits are commands of other programs, and what takes their place.
var habits = map[string]string{
	"annotate": objectsAreFiles, "apply": objectsAreFiles, "create": objectsAreFiles, "delete": objectsAreFiles, "edit": objectsAreFiles,
	"label": objectsAreFiles, "patch": objectsAreFiles, "replace": objectsAreFiles, "scale": objectsAreFiles,
	"describe": "wicketgate get KIND NAME -o yaml shows an object with its status",
	"diff":     "wicketgate check DIR says what is wrong with files",
	"explain":  "docs/fields.md has every field of every kind",
	"lint":     "wicketgate check DIR does that",
	"logs":     "the log of run is on its standard error",
	"reload":   "edits are served by themselves; SIGHUP or POST /reload has the files read now",
	"serve":    "wicketgate run --config DIR does that",
	"start":    "wicketgate run --config DIR does that",
	"status":   "wicketgate get gateways,httproutes -A does that",
	"validate": "wicketgate check DIR does that",
	"wait":     "wicketgate health says whether the gateway is ready",
}

const objectsAreFiles = "objects are the files in the directories of --config: what is written there is served, what is deleted there is gone"

// noSuchCommand refuses what is neither a command nor a flag, and names the command that was perhaps meant.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	meant := ""
	if habit := habits[args[0]]; habit != "" {
		meant = ": " + habit
	} else if _, err := os.Stat(args[0]); err == nil {
		meant = ": to serve a directory or file, wicketgate run --config " + args[0]
	} else if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		meant = fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return seeHelp(c, fmt.Errorf("there is no command %q%s", args[0], meant))
}

// seeHelp adds where to read more.
func seeHelp(c *cobra.Command, err error) error {
	return fmt.Errorf("%w\nRun '%s --help' for usage", err, c.CommandPath())
}

// wrongFlag names the flag that was perhaps meant. Where the command is the one that does not exist, its flags are not what is wrong.
func wrongFlag(c *cobra.Command, err error) error {
	if args := c.Flags().Args(); !c.HasParent() && len(args) > 0 {
		return noSuchCommand(c, args)
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		// The library knows what is near to a command, so let flags be commands.
		flags := &cobra.Command{SuggestionsMinimumDistance: 2}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		})
		if near := flags.SuggestionsFor(unknown.GetSpecifiedName()); len(near) > 0 && len(unknown.GetSpecifiedName()) > 1 {
			err = fmt.Errorf("%w (did you mean --%s?)", err, near[0])
		}
	}
	return seeHelp(c, err)
}

// onlyFlags is for run: a directory needs its flag.
func onlyFlags(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return seeHelp(c, fmt.Errorf("nothing is known of %q: directories and files are named with --config, as in --config %s", args[0], args[0]))
}

// atLeastOne asks for arguments, and says of what kind they are.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return seeHelp(c, fmt.Errorf("name %s", what))
		}
		return nil
	}
}
