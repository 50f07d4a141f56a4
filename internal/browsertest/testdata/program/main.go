//go:build js

// Program for the tests of browsertest: it writes to both outputs, answers one message, and exits as its argument says.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall/js"
)

func main() {
	asked := make(chan string, 1)
	onMessage := js.FuncOf(func(_ js.Value, args []js.Value) any {
		asked <- args[0].String()
		return nil
	})
	defer onMessage.Release()
	host := js.Global().Get("host")
	host.Set("onmessage", onMessage)

	fmt.Println("out", os.Getenv("WORD"), strings.Repeat("ä", 10_000))
	fmt.Fprint(os.Stderr, "err without newline")
	js.Global().Get("console").Call("log", "from the console")
	switch os.Args[1] {
	case "panic":
		panic("on purpose")
	case "hang":
		host.Call("send", "hanging")
		select {}
	}
	host.Call("send", "ready")
	host.Call("send", "answer to "+<-asked)
	code, _ := strconv.Atoi(os.Args[1])
	os.Exit(code)
}
