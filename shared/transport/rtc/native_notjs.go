//go:build !js

package rtc

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/pion/logging"
)

// loopback says whether the network interface name is a loopback one.
func loopback(name string) bool {
	i, err := net.InterfaceByName(name)
	return err == nil && i.Flags&net.FlagLoopback != 0
}

// loggerFactory gives pion a logger. What pion calls an error is often a peer that went away, so it is a warning at most; its
// information is for debugging.
type loggerFactory struct{ logger *slog.Logger }

func (f loggerFactory) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{f.logger.With("pion", scope)}
}

type pionLogger struct{ logger *slog.Logger }

func (pionLogger) Trace(string)          {}
func (pionLogger) Tracef(string, ...any) {}
func (pionLogger) Debug(string)          {}
func (pionLogger) Debugf(string, ...any) {}

func (l pionLogger) Info(msg string)                  { l.logger.Debug(msg) }
func (l pionLogger) Infof(format string, args ...any) { l.logger.Debug(fmt.Sprintf(format, args...)) }
func (l pionLogger) Warn(msg string)                  { l.logger.Debug(msg) }
func (l pionLogger) Warnf(format string, args ...any) { l.logger.Debug(fmt.Sprintf(format, args...)) }
func (l pionLogger) Error(msg string)                 { l.logger.Warn(msg) }
func (l pionLogger) Errorf(format string, args ...any) {
	l.logger.Warn(fmt.Sprintf(format, args...))
}
