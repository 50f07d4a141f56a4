package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggers has pion log to slog. All that it has to say is about what clients do wrong, so it goes out at level debug.
type loggers struct{ log *slog.Logger }

// NewLogger returns the logger of a scope.
func (l loggers) NewLogger(scope string) logging.LeveledLogger {
	return logger{l.log.With("scope", scope)}
}

type logger struct{ log *slog.Logger }

func (l logger) say(level, msg string) { l.log.Debug(msg, "pion", level) }

func (l logger) sayf(level, format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.say(level, fmt.Sprintf(format, args...))
	}
}

// Those for every datagram say nothing.
func (l logger) Trace(string)          {}
func (l logger) Tracef(string, ...any) {}
func (l logger) Debug(string)          {}
func (l logger) Debugf(string, ...any) {}

func (l logger) Info(msg string)                   { l.say("info", msg) }
func (l logger) Infof(format string, args ...any)  { l.sayf("info", format, args) }
func (l logger) Warn(msg string)                   { l.say("warn", msg) }
func (l logger) Warnf(format string, args ...any)  { l.sayf("warn", format, args) }
func (l logger) Error(msg string)                  { l.say("error", msg) }
func (l logger) Errorf(format string, args ...any) { l.sayf("error", format, args) }
