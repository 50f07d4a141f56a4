package e2e

import (
	"image"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoaldb/shoal/e2e/chrome"
	"github.com/shoaldb/shoal/e2e/shoalserver"
)

// page opens the demo in a tab of a browser and waits until it can be used. When the test fails its log shows the page's text.
func page(t *testing.T, b *chrome.Browser, s *shoalserver.Server) *chrome.Tab {
	tab := b.Tab(s.URL("/"))
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
	for _, tab := range []*chrome.Tab{a, b} {
		has(tab, "Milk")
		has(tab, "Bread")
	}
	b.Click(`.todo .done`)
	a.Wait(`document.querySelectorAll('.done:checked').length === 1`)
	a.Click(`.todo:not(:has(:checked)) .text`)
	a.Type("Oat milk\r")
	has(b, "Oat milk")
	lacks(b, "Milk")
	a.Wait(`document.querySelector('#status').dataset.state === 'good'`)
	for _, tab := range []*chrome.Tab{a, b} {
		tab.Wait(`document.querySelector('.peer-path').textContent.includes('direct')`)
	}
	pictures(a)
	pictureOfTwo(t, a, b)

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

	t.Log("a list of one's own, for those who get its link")
	a.Click("#new")
	a.Wait(`location.hash.length > 14 && document.querySelector('#link').value === location.href && !document.querySelector('#empty').hidden`)
	add(a, "Secret")
	has(a, "Secret")
	d := chrome.NewProfile(t).Open(t, nil).Tab(chrome.Eval[string](a, `location.href`))
	has(d, "Secret")
	add(d, "Shared")
	has(a, "Shared")
	lacks(c, "Secret")
}

// TestDemoAddress opens the page with a name that no list can have.
func TestDemoAddress(t *testing.T) {
	s := shoalserver.Start(t)
	tab := chrome.NewProfile(t).Open(t, nil).Tab(s.URL("/#%zz"))
	tab.Wait(`document.querySelector('#notice').textContent.includes('6 to 99 characters')`)
	tab.Click("#new")
	tab.Wait(`!document.querySelector('#title').disabled`)
	tab.Wait(`document.querySelector('#notice').hidden`)
}

// shots is the folder for pictures that a person is to look at; without the variable there are none.
func shots() string { return os.Getenv("SHOTS") }

func shoot(tab *chrome.Tab, name string) {
	if shots() != "" {
		tab.Screenshot(filepath.Join(shots(), name+".png"))
	}
}

// pictures shows the page in its colours and sizes.
func pictures(tab *chrome.Tab) {
	if shots() == "" {
		return
	}
	tab.Do(`document.activeElement.blur()`)
	shoot(tab, "light")
	tab.Dark(true)
	shoot(tab, "dark")
	tab.Resize(390, 844)
	shoot(tab, "narrow")
	tab.Resize(1280, 800)
	tab.Dark(false)
}

// pictureOfTwo makes docs/demo.png: two browsers side by side.
func pictureOfTwo(t *testing.T, tabs ...*chrome.Tab) {
	t.Helper()
	if shots() == "" {
		return
	}
	const width, height, gap = 620, 620, 20
	both := image.NewRGBA(image.Rect(0, 0, len(tabs)*(width+gap)-gap, height))
	for i, tab := range tabs {
		tab.Resize(width, height)
		tab.Do(`document.activeElement.blur(); scrollTo(0, 0)`)
		name := filepath.Join(shots(), "part.png")
		tab.Screenshot(name)
		tab.Resize(1280, 800)
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		part, err := png.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		draw.Draw(both, image.Rect(i*(width+gap), 0, i*(width+gap)+width, height), part, image.Point{}, draw.Src)
	}
	f, err := os.Create(filepath.Join(shots(), "demo.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, both); err != nil {
		t.Fatal(err)
	}
}
