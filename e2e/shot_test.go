package e2e

import (
	"os"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

func TestShots(t *testing.T) {
	dir := os.Getenv("SHOTS")
	if dir == "" {
		t.Skip("SHOTS is not set")
	}
	s := shoalserver.Start(t)
	a := chrome.NewProfile(t).Open(t, nil).Tab(s.URL("/#shoal-demo"))
	b := chrome.NewProfile(t).Open(t, nil).Tab(s.URL("/#shoal-demo"))
	a.Wait(`!document.querySelector('#title').disabled`)
	a.Screenshot(dir + "/empty.png")
	for _, text := range []string{"Buy milk", "Write the release notes", "Call the plumber about the kitchen tap that has been dripping since the beginning of the month", "Water the plants"} {
		a.Click("#title")
		a.Type(text + "\r")
	}
	b.Wait(`document.querySelectorAll('.todo').length === 4`)
	b.Click(".todo:nth-child(2) .done")
	a.Wait(`document.querySelectorAll('.done:checked').length === 1`)
	a.Wait(`document.querySelector('#status').dataset.state === 'good'`)
	a.Wait(`document.querySelector('.peer-path').textContent.includes('direct')`)
	a.Screenshot(dir + "/light.png")
	a.Dark()
	a.Screenshot(dir + "/dark.png")
	a.Resize(390, 844)
	a.Screenshot(dir + "/narrow.png")
}
