//go:build js

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/shoaldb/shoal/shared/transport/rtc/rtctest"
)

func main() {
	var j job
	if err := json.Unmarshal([]byte(os.Args[1]), &j); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ctx := context.Background()
	var line string
	var err error
	if j.Role == "both" {
		server := rtctest.New()
		line, err = perform(ctx, j, server.Client("a"), server.Client("b"))
	} else {
		remote, release := rtctest.PageRemote(func(string) {})
		defer release()
		line, err = perform(ctx, j, remote, nil)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(line)
}
