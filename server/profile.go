package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
)

// serveProfiles serves Go's profiles, on loopback only, until stop is called.
func serveProfiles(ctx context.Context, address string, log *slog.Logger) (stop func(), err error) {
	if addr, err := net.ResolveTCPAddr("tcp", address); err == nil && !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("--pprof %s: profiles are for this machine only; give a loopback address such as 127.0.0.1:6060", address)
	}
	ln, err := listen(ctx, address, false)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: requestTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Serve(ln) // ends with stop
	}()
	log.Info("serving profiles", "url", "http://"+ln.Addr().String()+"/debug/pprof/")
	return func() {
		s.Close()
		<-ended
	}, nil
}
