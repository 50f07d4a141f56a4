package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// page opens the demo in a tab of a browser and waits until it can be used. When the test fails its log shows the page's text.
func page(t *testing.T, b *chrome.Browser, s *shoalserver.Server) *chrome.Tab {
	tab := b.Tab(s.URL("/#e2e-list"))
	t.Cleanup(func() {
		if t.Failed() && tab.Open() {
			t.Logf("the page shows:\n%s", chrome.Eval[string](tab, `document.body.innerText`))
		}
	})
	tab.Wait(`!document.querySelector('#title').disabled`)
	return tab
}

// add types a to-do, as a user does.
func add(tab *chrome.Tab, text string) {
	tab.Click("#title")
	tab.Type(text + "\r")
}

// has waits until the page shows a to-do.
func has(tab *chrome.Tab, text string) {
	tab.Wait(`[...document.querySelectorAll('.todo .text')].some((e) => e.textContent === '` + text + `')`)
}

// lacks waits until the page shows a to-do no more.
func lacks(tab *chrome.Tab, text string) {
	tab.Wait(`![...document.querySelectorAll('.todo .text')].some((e) => e.textContent === '` + text + `')`)
}

// TestDemo is what a new user does with two browsers and a server that comes and goes.
func TestDemo(t *testing.T) {
	s := shoalserver.Start(t)
	profileA, profileB := chrome.NewProfile(t), chrome.NewProfile(t)
	browserB := profileB.Open(t, nil)
	a, b := page(t, profileA.Open(t, nil), s), page(t, browserB, s)
	shoot(a, "empty")

	add(a, "Milk")
	add(b, "Bread")
	has(b, "Milk")
	has(a, "Bread")
	b.Click(`.todo .done`)
	a.Wait(`document.querySelectorAll('.done:checked').length === 1`)
	a.Click(`.todo:not(:has(:checked)) .text`)
	a.Type("Oat milk\r")
	has(b, "Oat milk")
	lacks(b, "Milk")
	a.Wait(`document.querySelector('#status').dataset.state === 'good'`)
	a.Wait(`document.querySelector('.peer-path').textContent.includes('direct')`)
	pictures(a)

	t.Log("the server goes; edits still flow")
	a.AllowErrors() // a WebSocket that cannot connect is one
	b.AllowErrors()
	s.Kill()
	a.Wait(`document.querySelector('#signaling').textContent !== 'connected'`)
	add(a, "Eggs")
	has(b, "Eggs")
	b.Click(`.todo .remove`)
	lacks(a, "Eggs")

	t.Log("it comes back; others can join")
	s.Restart()
	a.Wait(`document.querySelector('#signaling').textContent === 'connected'`)
	c := page(t, chrome.NewProfile(t).Open(t, nil), s)
	has(c, "Oat milk")
	has(c, "Bread")
	lacks(c, "Eggs")

	t.Log("one closes; it catches up when it is back")
	browserB.Close()
	a.Wait(`document.querySelectorAll('.peer').length === 1`)
	add(a, "Salt")
	has(c, "Salt")
	b = page(t, profileB.Open(t, nil), s)
	has(b, "Oat milk") // from its own disk
	has(b, "Salt")

	t.Log("reload")
	a.Reload()
	has(a, "Salt")
	a.Wait(`document.querySelectorAll('.todo').length === 3`)
	a.Wait(`document.querySelector('#status').dataset.state === 'good'`)
}

// pictures writes screenshots to the folder that the variable SHOTS names, for a person to look at.
func pictures(tab *chrome.Tab) {
	if os.Getenv("SHOTS") == "" {
		return
	}
	shoot(tab, "light")
	tab.Dark()
	shoot(tab, "dark")
	tab.Resize(390, 844)
	shoot(tab, "narrow")
	tab.Resize(1280, 800)
}

func shoot(tab *chrome.Tab, name string) {
	if dir := os.Getenv("SHOTS"); dir != "" {
		tab.Screenshot(filepath.Join(dir, name+".png"))
	}
}
