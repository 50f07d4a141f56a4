//go:build js

// Program for the tests that let pages and pion meet: it connects to whoever is in the room, and sends every message back on its
// lane. The message "report" is answered with what it knows of the connection.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/shoaldb/shoal/shared/transport"
	"github.com/shoaldb/shoal/shared/transport/rtc"
	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

func main() {
	ctx, quit := context.WithCancel(context.Background())
	remote, release := rtctest.PageRemote(func(string) { quit() })
	defer release()
	n, err := rtc.New(remote, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if err := n.Join("room"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var serving sync.WaitGroup
	for {
		c, err := n.Accept(ctx)
		if err != nil {
			break
		}
		serving.Go(func() { serve(ctx, c) })
	}
	if err := n.Close(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	serving.Wait()
}

func serve(ctx context.Context, c transport.Conn) {
	for {
		lane, msg, err := c.Receive(ctx)
		if err != nil {
			fmt.Println("ended:", err)
			return
		}
		if string(msg) == "report" {
			msg, _ = json.Marshal(map[string]any{"binding": c.Binding(), "stats": c.Stats(ctx)})
		}
		if err := c.Send(ctx, lane, msg); err != nil {
			fmt.Println("ended:", err)
			return
		}
	}
}
