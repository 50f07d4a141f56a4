// Package e2e tests what users get, as they use it: the built page and the built library, from the real server, in headless
// Chromium.
//
// Build first (make build), then go test ./e2e/... ; make test-e2e does both. Chromium must be on PATH.
//
// A test has a server, shoalserver.Start, and as many people as it likes: each is a chrome.Profile, a folder on disk with a
// Chromium process of its own, for contexts of one process would keep IndexedDB in memory. What a page writes to its
// console goes to the test's log. An exception that nothing caught, or a console.error, fails the test, unless it said so before.
//
//	server := shoalserver.Start(t)
//	tab := chrome.NewProfile(t).Open(t, nil).Tab(server.URL("/healthz"))
//	n := chrome.Eval[int](tab, `import('/shoal.js').then(m => Object.keys(m).length)`)
//
// The pages that tests of the library use are blank ones of the server's origin, see blank.
//
// chromedp is pinned in go.mod: its API changed at v0.20, and older examples do not compile.
package e2e
