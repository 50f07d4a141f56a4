package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shoaldb/shoal/internal/flags"
	"github.com/shoaldb/shoal/server/cluster"
	"github.com/shoaldb/shoal/server/hub"
	"github.com/shoaldb/shoal/server/turn"
)

// metrics are the node's figures for Prometheus. Those that its parts count themselves are asked for when they are wanted.
type metrics struct {
	node     *node
	registry *prometheus.Registry
	joins    prometheus.Histogram
	descs    map[string]*prometheus.Desc
}

// figures are those that are asked for: name, help, and the label if there is one.
func figures() [][3]string {
	return [][3]string{
		{"shoal_connections", "WebSocket connections."},
		{"shoal_peers", "Connections that have a peer id."},
		{"shoal_rooms", "Rooms with members."},
		{"shoal_room_members", "Members of all rooms, those of other nodes included."},
		{"shoal_queued_bytes", "Bytes that wait for clients to read them."},
		{"shoal_queued_connections", "Connections for which bytes wait."},
		{"shoal_waiting_input", "Connections with input that waits for a worker."},
		{"shoal_joins_total", "Joins of rooms."},
		{"shoal_signals_total", "Signals passed on."},
		{"shoal_signals_undelivered_total", "Signals to peers that were not there or did not keep up."},
		{"shoal_relayed_total", "Pieces of relayed connections passed on."},
		{"shoal_relay_bytes_total", "Bytes of them."},
		{"shoal_connections_refused_total", "Connections not taken."},
		{"shoal_connections_cut_total", "Connections that the server ended."},
		{"shoal_delays_total", "Times that a client that sent too fast was read more slowly."},
		{"shoal_refusals_total", "What was refused, and why connections were ended.", "reason"},
		{"shoal_turn_allocations", "TURN allocations."},
		{"shoal_turn_bytes_total", "Bytes relayed by TURN."},
		{"shoal_turn_dropped_total", "Datagrams that TURN dropped."},
		{"shoal_turn_refusals_total", "What TURN refused.", "reason"},
		{"shoal_cluster_connected", "1 where NATS is reached."},
		{"shoal_cluster_nodes", "Other nodes that are there."},
		{"shoal_cluster_members", "Members of rooms that other nodes have."},
		{"shoal_cluster_sent_total", "Signals passed to other nodes."},
		{"shoal_cluster_received_total", "Signals of other nodes."},
		{"shoal_cluster_lost_total", "Messages that could not be passed to other nodes, or made no sense."},
		{"shoal_cluster_syncs_total", "Times that another node was asked for all its members."},
	}
}

func newMetrics(n *node) *metrics {
	m := &metrics{node: n, registry: prometheus.NewRegistry(), descs: make(map[string]*prometheus.Desc)}
	m.joins = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "shoal_join_seconds", Help: "Time from a client's join to its being in the room.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	})
	for _, f := range figures() {
		var labels []string
		if f[2] != "" {
			labels = []string{f[2]}
		}
		m.descs[f[0]] = prometheus.NewDesc(f[0], f[1], labels, nil)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "shoal_build_info", Help: "What the server was built from.", ConstLabels: prometheus.Labels{"version": flags.Build()},
	})
	build.Set(1)
	m.registry.MustRegister(m, m.joins, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// joined is for hub.Options.
func (m *metrics) joined(took time.Duration) { m.joins.Observe(took.Seconds()) }

// Describe is for the registry.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		ch <- d
	}
}

// Collect is for the registry.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	o := output{m, ch}
	o.hub(m.node.hub.Stats())
	if m.node.turn != nil {
		o.turn(m.node.turn.Stats())
	}
	if m.node.cluster != nil {
		o.cluster(m.node.cluster.Stats())
	}
}

// output is where figures go.
type output struct {
	*metrics
	ch chan<- prometheus.Metric
}

func (o *output) gauge(name string, v int) {
	o.ch <- prometheus.MustNewConstMetric(o.descs[name], prometheus.GaugeValue, float64(v))
}

func (o *output) count(name string, v uint64, label ...string) {
	o.ch <- prometheus.MustNewConstMetric(o.descs[name], prometheus.CounterValue, float64(v), label...)
}

func (o *output) hub(s hub.Stats) {
	o.gauge("shoal_connections", s.Connections)
	o.gauge("shoal_peers", s.Peers)
	o.gauge("shoal_rooms", s.Rooms)
	o.gauge("shoal_room_members", s.Members)
	o.gauge("shoal_queued_bytes", s.Queued)
	o.gauge("shoal_queued_connections", s.Waiting)
	o.gauge("shoal_waiting_input", s.Busy)
	o.count("shoal_joins_total", s.Joins)
	o.count("shoal_signals_total", s.Signals)
	o.count("shoal_signals_undelivered_total", s.Undelivered)
	o.count("shoal_relayed_total", s.Relayed)
	o.count("shoal_relay_bytes_total", s.RelayBytes)
	o.count("shoal_connections_refused_total", s.Refused)
	o.count("shoal_connections_cut_total", s.Cut)
	o.count("shoal_delays_total", s.Delayed)
	for reason, n := range s.Refusals {
		o.count("shoal_refusals_total", n, reason)
	}
}

func (o *output) turn(t turn.Stats) {
	o.gauge("shoal_turn_allocations", t.Allocations)
	o.count("shoal_turn_bytes_total", t.Bytes)
	o.count("shoal_turn_dropped_total", t.Dropped)
	o.count("shoal_turn_refusals_total", t.Unauthorized, "unauthorized")
	o.count("shoal_turn_refusals_total", t.OverQuota, "quota")
	o.count("shoal_turn_refusals_total", t.Forbidden, "forbidden")
}

func (o *output) cluster(c cluster.Stats) {
	connected := 0
	if c.Connected {
		connected = 1
	}
	o.gauge("shoal_cluster_connected", connected)
	o.gauge("shoal_cluster_nodes", c.Nodes)
	o.gauge("shoal_cluster_members", c.Peers)
	o.count("shoal_cluster_sent_total", c.Sent)
	o.count("shoal_cluster_received_total", c.Received)
	o.count("shoal_cluster_lost_total", c.Lost)
	o.count("shoal_cluster_syncs_total", c.Syncs)
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// serveMetrics serves the figures and the health on a port of their own, until stop is called.
func (n *node) serveMetrics(ctx context.Context, address string) (stop func(), err error) {
	ln, err := listen(ctx, address, true) // there is nothing to do there but read
	if err != nil {
		return nil, fmt.Errorf("--metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", n.metrics.handler())
	n.health(mux)
	s := n.server(mux)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Serve(ln) // ends with stop
	}()
	n.log.Info("serving metrics", "url", "http://"+ln.Addr().String()+"/metrics")
	return func() {
		s.Close()
		<-ended
	}, nil
}
