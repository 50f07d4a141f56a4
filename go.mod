module github.com/shoaldb/shoal

go 1.26.0

require (
	github.com/tidwall/gjson v1.20.1
	golang.org/x/sync v0.24.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
)

require (
	github.com/andybalholm/brotli v1.2.8
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.5.0
	github.com/tidwall/btree v1.8.2
)
