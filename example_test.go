//go:build !js

package shoal_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/shoaldb/shoal"
	"github.com/shoaldb/shoal/server/hub"
)

// program is a whole program: it opens a data directory, joins a room, writes, and prints what everybody writes.
func program(ctx context.Context, dir, url string) error {
	db, err := shoal.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	todos, err := db.Collection(ctx, "todos", nil)
	if err != nil {
		return err
	}
	changes := todos.Watch(ctx)
	if _, err := db.Join(ctx, url, "my-users-pool", nil); err != nil {
		return err
	}
	if _, err := todos.Upsert(ctx, []byte(`{"id":"milk","done":false}`)); err != nil {
		return err
	}
	for change := range changes {
		fmt.Println(change.After.ID, string(change.After.Body))
	}
	return nil
}

// A Go program and another one in a room. Browsers could be there as well.
func Example() {
	server := hub.New(nil) // that of shoal-server
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	url := strings.Replace(web.URL, "http", "ws", 1)

	dir, err := os.MkdirTemp("", "shoal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- program(ctx, dir+"/a", url) }()

	other, err := shoal.Open(dir+"/b", nil)
	if err != nil {
		log.Fatal(err)
	}
	todos, err := other.Collection(ctx, "todos", nil)
	if err != nil {
		log.Fatal(err)
	}
	changes := todos.Watch(ctx)
	room, err := other.Join(ctx, url, "my-users-pool", nil)
	if err != nil {
		log.Fatal(err)
	}
	for change := range changes {
		if change.After.ID == "milk" {
			break
		}
	}
	bread, err := todos.Insert(ctx, []byte(`{"id":"bread","done":true}`))
	if err != nil {
		log.Fatal(err)
	}
	if err := room.Pool(todos).AwaitReplicated(ctx, bread.Version, 1); err != nil { // one other replica holds it
		log.Fatal(err)
	}
	if err := other.Close(); err != nil {
		log.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output:
	// milk {"id":"milk","done":false}
	// bread {"id":"bread","done":true}
}
