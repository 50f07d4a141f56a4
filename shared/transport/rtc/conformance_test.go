package rtc_test

import (
	"fmt"
	"testing"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
	"github.com/shoaldb/shoal/shared/transport/transporttest"
)

func TestConformance(t *testing.T) {
	needRTC(t)
	transporttest.Run(t, func(t *testing.T) transporttest.Harness {
		server := rtctest.New()
		names := 0
		return transporttest.Harness{Network: func() transport.Network {
			names++
			n, err := rtc.New(server.Client(fmt.Sprintf("peer%d", names)), &rtc.Options{LoopbackOnly: native})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}}
	})
}
