package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"once/admin"
	"once/broker"
	"once/cluster"
	"once/settings"
)

// startFlags are the flags of broker start. An empty listen, dataDir or durability was not given: then the setting
// holds.
type startFlags struct {
	listen, dataDir, durability string
	admin, config, configFrom   string
	ephemeral                   bool
	strict, lab                 string // "true" or "false"; "" was not given
	set                         []string
	seed, seedFrom              string
	load                        string
	container                   container
	test                        testFlags
}

func startCommand(environ []string, began time.Time) *cobra.Command {
	var f startFlags
	var listen, dataDir, durability string
	var strict, lab bool
	c := &cobra.Command{
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			for name, given := range map[string]*string{"listen": &f.listen, "data-dir": &f.dataDir,
				"durability": &f.durability} {
				if flag := c.Flags().Lookup(name); flag.Changed {
					if *given = flag.Value.String(); *given == "" {
						return usageError{fmt.Errorf("--%s must not be empty", name)}
					}
				}
			}
			if c.Flags().Changed("strict") {
				f.strict = strconv.FormatBool(strict)
			}
			if c.Flags().Changed("lab") {
				f.lab = strconv.FormatBool(lab)
			}
			if value, ok := lookup(environ, adminVariable); ok && !c.Flags().Changed("admin") {
				f.admin = value
			}
			if f.seedFrom = "--seed"; !c.Flags().Changed("seed") {
				f.seed, _ = lookup(environ, seedVariable)
				f.seedFrom = seedVariable
			}
			f.container = containerOf(environ)
			if f.configFrom = "--config"; f.config == "" {
				f.config, f.configFrom = f.container.configFile(), "mounted into the image"
			}
			if f.ephemeral && f.dataDir != "" {
				return usageError{errors.New("--ephemeral and --data-dir exclude each other")}
			}
			return start(c.Context(), f, environ, c.OutOrStdout(), c.ErrOrStderr(), began)
		},
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&listen, "listen", "127.0.0.1:9092", "address for Kafka clients, `HOST:PORT`; port 0 picks a free one")
	flags.StringVar(&dataDir, "data-dir", "./data", "data `directory`, created when missing")
	flags.BoolVar(&f.ephemeral, "ephemeral", false, "use a temporary data directory, removed at exit")
	flags.StringVar(&f.admin, "admin", admin.DefaultAddress,
		"address for metrics, health and profiles over HTTP, `HOST:PORT`; empty for none")
	flags.StringVar(&f.config, "config", "", "a server.properties `file`")
	flags.StringArrayVar(&f.set, "set", nil, "one broker setting by Kafka's name, `NAME=VALUE`; repeatable")
	flags.StringVar(&f.seed, "seed", "", "a `file` of topics and records, JSON or YAML, made before the broker is ready")
	flags.StringVar(&f.load, "load", "", "a `file` with the archive of a snapshot, to begin with in an empty data "+
		"directory")
	flags.BoolVar(&strict, "strict", false, "do as Kafka does where the broker is kinder: see the setting strict")
	flags.BoolVar(&lab, "lab", true, "let tests change things over HTTP: faults, clock, reset; see the setting lab")
	f.test.add(c)
	flags.StringVar(&durability, "durability", "page", "what an acknowledgement waits for: `page, txn or fsync`")
	return c
}

// configure merges all sources of settings: flags win over the environment, that over the file, that over the defaults.
// --listen, --data-dir and --durability win over --set of the settings that mean the same. unknown are the names that
// are no settings.
func configure(f startFlags, environ []string) (cfg broker.Config, unknown []string, err error) {
	given := settings.Source{Values: settings.Values{}, From: map[string]string{}}
	set := func(name, value, flag string) { given.Values[name], given.From[name] = value, flag }
	for _, pair := range f.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return cfg, nil, usageError{fmt.Errorf("--set %s: must be NAME=VALUE", pair)}
		}
		set(name, value, "--set")
	}
	if f.listen != "" {
		set("listeners", "PLAINTEXT://"+f.listen, "--listen")
	}
	if f.dataDir != "" {
		set("log.dirs", f.dataDir, "--data-dir")
	}
	if f.durability != "" {
		set("durability", f.durability, "--durability")
	}
	if f.strict != "" {
		set("strict", f.strict, "--strict")
	}
	if f.lab != "" {
		set("lab", f.lab, "--lab")
	}
	file, err := readProperties(f.config, f.configFrom)
	if err != nil {
		return cfg, nil, usageError{err}
	}
	environment := settings.FromEnvironment(environ)
	s, unknown, err := settings.ResolveSources(given, environment, file, f.container.defaults(given, environment, file))
	if err != nil {
		return cfg, unknown, usageError{err}
	}
	if err := refuseKafkasDirectory(s.DataDir); err != nil && !f.ephemeral {
		return cfg, unknown, err
	}
	faults, err := f.test.points()
	if err != nil {
		return cfg, unknown, err
	}
	seeded, err := readSeed(f, environ, s)
	if err != nil {
		return cfg, unknown, usageError{err}
	}
	return broker.Config{
		Listeners: s.Listeners, DataDir: s.DataDir, Ephemeral: f.ephemeral, Admin: f.admin, Seed: seeded, Load: f.load,
		Env: cluster.Env{Settings: s, Durability: s.Durability, BootID: f.test.bootID, Faults: faults},
	}, unknown, nil
}

// readProperties reads a property file; from is the flag or variable that names it.
func readProperties(name, from string) (settings.Source, error) {
	if name == "" {
		return settings.Source{}, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return settings.Source{}, fmt.Errorf("%s: %w", from, err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return settings.Source{}, fmt.Errorf("%s (%s): must be a file of settings, and is a directory", name, from)
	}
	return settings.ParseProperties(name, file)
}

// start runs a broker until a signal or a failure.
func start(ctx context.Context, f startFlags, environ []string, stdout, stderr io.Writer, began time.Time) error {
	cfg, unknown, err := configure(f, environ)
	if err != nil {
		return err
	}
	cfg.LogLevel = &slog.LevelVar{}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: cfg.LogLevel}))
	if len(f.test.faults) > 0 {
		cfg.Logger.Warn("faults are armed: this broker is for a test", "faults", f.test.faults)
	}
	if changed := cfg.Settings.Changed(); len(changed) > 0 {
		cfg.Logger.Info("settings that differ from their defaults", "settings", changed)
	}
	if inert := cfg.Settings.WithoutEffect(); len(inert) > 0 {
		cfg.Logger.Info("settings that are accepted and have no effect", "names", inert)
	}
	if len(unknown) > 0 {
		cfg.Logger.Warn("unknown settings are ignored", "names", unknown)
	}
	if f.container.isImage { // the next container on the volume may run as another user
		openFilesToAll()
	}
	if err := f.container.runInitScripts(cfg, stderr); err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	b, err := broker.Start(ctx, cfg)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: this process runs as user %d; let that user own %s, or run it as the owner", err, os.Getuid(),
			cfg.DataDir)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, readyText(b, time.Since(began)))
	if f.container.isImage {
		for _, line := range readyLines(cfg.Settings.NodeID) {
			fmt.Fprintln(stdout, line)
		}
	}
	return wait(b, signals, cfg.Logger)
}

// readyText is the line that a program waits for when it starts a broker: with the address of the first listener, and
// at the end, if there are several, every listener by name.
func readyText(b *broker.Broker, took time.Duration) string {
	adminAddr := b.AdminAddr()
	if adminAddr == "" {
		adminAddr = "off"
	}
	line := fmt.Sprintf("ready listen=%s admin=%s took=%s", b.Addr(), adminAddr, took.Round(100*time.Microsecond))
	if all := b.Listeners(); len(all) > 1 {
		names := make([]string, len(all))
		for i, l := range all {
			names[i] = l.String()
		}
		line += " listeners=" + strings.Join(names, ",")
	}
	return line
}

// running is what wait needs of a broker.
type running interface {
	Close() error
	Done() <-chan struct{}
	Err() error
}

// wait returns when the broker has stopped: by itself, with why, or after the first signal. A second
// signal does not wait for it.
func wait(b running, signals <-chan os.Signal, logger *slog.Logger) error {
	select {
	case <-b.Done():
		return b.Err()
	case s := <-signals:
		logger.Info("stopping", "signal", s.String())
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		if failure := b.Err(); failure != nil {
			return failure
		}
		return err
	case s := <-signals:
		return fmt.Errorf("stopped by a second signal, %s, before everything was written", s)
	}
}
