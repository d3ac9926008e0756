// Package console is what the commands share on the terminal: how they end, what progress looks like, how numbers read.
// It knows nothing of models or networks.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	ExitError       = 1   // something went wrong; the last line of standard error says what
	ExitUsage       = 2   // the command line does not parse
	ExitInterrupted = 130 // SIGINT or SIGTERM before the work was done
)

// ErrSilent ends a command with [ExitError] after it has said itself what is wrong.
var ErrSilent = errors.New("")

// Run parses the command line into grammar, calls the chosen command's Run method with a context that ends on SIGINT or
// SIGTERM, and returns the exit code.
func Run(grammar any, name, description string) int {
	parser := kong.Must(grammar, kong.Name(name), kong.Description(description), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}))
	args := os.Args[1:]
	if len(args) == 0 && len(parser.Model.Leaves(true)) > 1 {
		args = []string{"--help"} // a program of several commands, and none named
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v (see %s --help)\n", name, err, name)
		return ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	return Code(parsed.Run(), ctx, name, os.Stderr)
}

// Code says what a command's error means: it prints the error to w and returns the exit code.
func Code(err error, ctx context.Context, name string, w io.Writer) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrSilent):
		return ExitError
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(w, "%s: interrupted\n", name)
		return ExitInterrupted
	default:
		fmt.Fprintf(w, "%s: %v\n", name, err)
		return ExitError
	}
}

// Warn prints a line on standard error that the user should see and that does not stop the command.
func Warn(format string, args ...any) { fmt.Fprintf(os.Stderr, "warning: "+format+"\n", args...) }
