//go:build js

// Package main is the core as a page sees it: it makes one function of JavaScript, ShoalCore, through which web/src drives all of it.
//
// # The border
//
// The program runs in a Worker, or in the page where there can be none. ShoalCore(onEvent, onRequest) returns an object whose
// methods return promises. Databases, collections, pools and connection handlers are numbers there. Documents cross as JSON text,
// many at once: written ones in lines, see rows, read ones as one JSON value, see reading. Go calls JavaScript in two ways only:
//
//   - onEvent(kind, of, text) tells what happened to the collection or pool with the number of; see the event constants.
//   - onRequest(kind, of, text, bytes) asks what the application alone can answer, and returns a promise of text; see the request constants.
package main

import (
	"syscall/js"

	"github.com/shoaldb/shoal/wasm/jsbridge"
)

// globalName is what web/src/program.ts looks for, and takes away again, as soon as the program has started.
const globalName = "ShoalCore"

func main() {
	js.Global().Set(globalName, jsbridge.NewFunc(func(_ js.Value, args []js.Value) any {
		if len(args) != 2 {
			return nil
		}
		return newCore(args[0], args[1]).object()
	}).Value)
	select {} // the page, or its Worker, ends the program
}
