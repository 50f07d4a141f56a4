package rtc_test

import (
	"testing"
	"context"
	"time"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
	"github.com/shoaldb/shoal/internal/leakcheck"
)
func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestFirst(t *testing.T) {
	s := rtctest.New()
	opts := &rtc.Options{LoopbackOnly: native}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := rtc.New(s.Client("a"), opts)
	if err != nil { t.Fatal(err) }
	b, err := rtc.New(s.Client("b"), opts)
	if err != nil { t.Fatal(err) }
	t0 := time.Now()
	a.Join("x"); b.Join("x")
	ca, err := a.Accept(ctx)
	if err != nil { t.Fatal(err) }
	cb, err := b.Accept(ctx)
	if err != nil { t.Fatal(err) }
	t.Log(time.Since(t0), s.Signals())
	ca.Send(ctx, transport.Bulk, make([]byte, 100))
	ca.Send(ctx, transport.Bulk, make([]byte, 1<<20))
	l, m, err := cb.Receive(ctx)
	t.Log(l, len(m), err)
	l, m, err = cb.Receive(ctx)
	t.Log(l, len(m), err)
	t.Logf("%+v %x", ca.Stats(ctx), ca.Binding())
	t.Logf("%+v %x", cb.Stats(ctx), cb.Binding())
	t0 = time.Now()
	t.Log(ca.Close(), time.Since(t0))
	_, _, err = cb.Receive(ctx)
	t.Log(time.Since(t0), err)
	t0 = time.Now()
	t.Log(a.Close(), time.Since(t0))
	t0 = time.Now()
	t.Log(b.Close(), time.Since(t0))
}
