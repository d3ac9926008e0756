// Command matrix writes docs/model-support.md: what each model family needs and what was seen of it on which machines. Sizes
// are computed from the published configurations; everything about machines comes from the reports in docs/reports, which
// `p2p test --report` and `p2p bench --report` write. With --run it makes the reports of this machine first.
//
//	go run ./tools/matrix          # the page, from the reports that are there
//	go run ./tools/matrix --run    # reports of this machine's CPU and adapter, then the page
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"shoal/internal/report"
)

// Places in the repository, where the command is run.
const (
	pagePath   = "docs/model-support.md"
	reportsDir = "docs/reports"
)

type command struct {
	Names  []string `arg:"" optional:"" help:"With --run: only fixtures and shapes whose names contain one of these."`
	Run    bool     `help:"Convert the fixtures, test them on this machine, and add what comes out to the reports."`
	Shapes bool     `help:"With --run: also models of real shapes with random weights, which take some GB of memory and disk."`
	Device []string `enum:"cpu,gpu" default:"cpu,gpu" help:"With --run: where."`

	failed []string // comparisons out of tolerance
}

func main() {
	var c command
	kong.Parse(&c, kong.Name("matrix"), kong.Description("Write docs/model-support.md from configurations and reports."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
}

func (c *command) do(ctx context.Context) error {
	if _, err := os.Stat("go.mod"); err != nil {
		return fmt.Errorf("run it in the repository's root: %w", err)
	}
	if c.Run {
		if err := c.run(ctx); err != nil {
			return err
		}
	}
	reports, err := readReports(reportsDir)
	if err != nil {
		return err
	}
	text, err := page(reports)
	if err != nil {
		return err
	}
	if err := os.WriteFile(pagePath, text, 0o644); err != nil {
		return err
	}
	if len(c.failed) > 0 {
		return fmt.Errorf("out of tolerance, and noted so in the reports:\n%s", strings.Join(c.failed, "\n"))
	}
	return nil
}

// readReports reads every report of a folder, in the order of their names.
func readReports(dir string) ([]*report.Report, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var reports []*report.Report
	for _, path := range paths {
		r, err := report.Read(path)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
	}
	return reports, nil
}
