package turn_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/server/turn"
	"github.com/shoaldb/shoal/shared/protocol"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// listen starts a server on any port of 127.0.0.1.
func listen(t *testing.T, opts turn.Options) *turn.Server {
	t.Helper()
	opts.Listen = "127.0.0.1:0"
	s, err := turn.Listen(t.Context(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// credential returns what the server hands out to a peer.
func credential(t *testing.T, s *turn.Server, peer string) protocol.ICEServer {
	t.Helper()
	servers, ttl := s.ICEServers(peer, true)
	if len(servers) != 2 || ttl <= 0 || servers[1].Username == "" || servers[1].Credential == "" {
		t.Fatalf("%+v for %s", servers, ttl)
	}
	return servers[1]
}

// dial returns a client of the server at one of its URLs.
func dial(t *testing.T, s *turn.Server, url string, cred protocol.ICEServer) *pion.Client {
	t.Helper()
	address, transport, _ := strings.Cut(url[strings.Index(url, ":")+1:], "?transport=")
	var conn net.PacketConn
	if transport == "udp" {
		c, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn = c
	} else {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(url, "turns:") {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
		}
		conn = pion.NewSTUNConn(c)
	}
	t.Cleanup(func() { conn.Close() })
	client, err := pion.NewClient(&pion.ClientConfig{
		STUNServerAddr: address, TURNServerAddr: address, Conn: conn, Username: cred.Username, Password: cred.Credential,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	return client
}

// allocate returns a relay at one of the server's URLs.
func allocate(t *testing.T, s *turn.Server, url string, cred protocol.ICEServer) (*pion.Client, net.PacketConn) {
	t.Helper()
	client := dial(t, s, url, cred)
	relay, err := client.Allocate()
	if err != nil {
		t.Fatalf("allocate at %s: %v", url, err)
	}
	t.Cleanup(func() { relay.Close() })
	return client, relay
}

// exchange sends from a to b until it arrives, as datagrams may be lost.
func exchange(t *testing.T, a, b net.PacketConn, text string) {
	t.Helper()
	arrived := make(chan error, 1)
	go func() {
		buf := make([]byte, 2000)
		n, from, err := b.ReadFrom(buf)
		if err == nil && (string(buf[:n]) != text || from.String() != a.LocalAddr().String()) {
			err = errors.New(string(buf[:n]) + " from " + from.String())
		}
		arrived <- err
	}()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := a.WriteTo([]byte(text), b.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-arrived:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal("nothing arrived")
		}
	}
}

func certificate(t *testing.T) *tls.Config {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
}

// permit lets each of two relays get datagrams from the other.
func permit(t *testing.T, a *pion.Client, relay net.PacketConn) {
	t.Helper()
	if err := a.CreatePermission(relay.LocalAddr()); err != nil {
		t.Fatal(err)
	}
}

func TestRelay(t *testing.T) {
	s := listen(t, turn.Options{ListenTLS: "127.0.0.1:0", TLS: certificate(t)})
	ann, bob := credential(t, s, "annannannann"), credential(t, s, "bobbobbobbob")
	if len(ann.URLs) != 3 {
		t.Fatalf("URLs %v", ann.URLs)
	}
	for _, url := range ann.URLs {
		for _, other := range bob.URLs {
			t.Run(url[:5]+url[len(url)-3:]+" to "+other[:5]+other[len(other)-3:], func(t *testing.T) {
				a, ra := allocate(t, s, url, ann)
				b, rb := allocate(t, s, other, bob)
				permit(t, a, rb)
				permit(t, b, ra)
				before := s.Stats().Bytes
				exchange(t, ra, rb, "there")
				exchange(t, rb, ra, strings.Repeat("back", 300))
				if got := s.Stats().Bytes - before; got < 1205 {
					t.Errorf("%d bytes relayed", got)
				}
			})
		}
	}
}

func TestSTUN(t *testing.T) {
	s := listen(t, turn.Options{})
	servers, ttl := s.ICEServers("annannannann", false)
	if len(servers) != 1 || servers[0].Username != "" || ttl != 0 || servers[0].URLs[0] != "stun:"+s.Addr().String() {
		t.Fatalf("%+v for %s", servers, ttl)
	}
	for _, transport := range []string{"udp", "tcp"} {
		addr, err := dial(t, s, "turn:"+s.Addr().String()+"?transport="+transport, protocol.ICEServer{}).SendBindingRequest()
		if err != nil || !strings.HasPrefix(addr.String(), "127.0.0.1:") {
			t.Errorf("%s: %v, %v", transport, addr, err)
		}
	}
}

// TestOnlyRelays shows that a relay reaches nothing but relays: neither other hosts nor sockets of this one.
func TestOnlyRelays(t *testing.T) {
	s := listen(t, turn.Options{})
	ann, bob := credential(t, s, "annannannann"), credential(t, s, "bobbobbobbob")
	a, ra := allocate(t, s, ann.URLs[0], ann)
	b, rb := allocate(t, s, bob.URLs[0], bob)
	elsewhere := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 9}
	if err := a.CreatePermission(elsewhere); err == nil || s.Stats().Forbidden == 0 { // it asks again where the answer takes long
		t.Errorf("permission for another host: %v, %+v", err, s.Stats())
	}
	if _, err := ra.WriteTo([]byte("x"), elsewhere); err == nil {
		t.Error("sent to another host")
	}
	victim, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	if _, err := ra.WriteTo([]byte("x"), victim.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	permit(t, a, rb)
	permit(t, b, ra)
	exchange(t, ra, rb, "the server has handled the other, too")
	victim.SetReadDeadline(time.Now())
	if n, from, err := victim.ReadFrom(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a socket got %d bytes from %v, %v", n, from, err)
	}
	if s.Stats().Dropped == 0 {
		t.Errorf("%+v", s.Stats())
	}
	// And nobody reaches a relay but relays.
	var sockets []error
	for _, relay := range []net.PacketConn{ra, rb} {
		if c, err := net.ListenUDP("udp4", relay.LocalAddr().(*net.UDPAddr)); err != nil {
			sockets = append(sockets, err)
		} else {
			c.Close()
		}
	}
	if len(sockets) == 2 { // one may be a socket of somebody else
		t.Errorf("relays have sockets: %v", sockets)
	}
}

// code returns the STUN error that the server answered with.
func code(err error) stun.ErrorCode {
	for _, c := range []stun.ErrorCode{stun.CodeUnauthorized, stun.CodeAllocQuotaReached, stun.CodeInsufficientCapacity} {
		if err != nil && strings.Contains(err.Error(), stun.ErrorCodeAttribute{Code: c}.String()) {
			return c
		}
	}
	return 0
}

func TestCredentials(t *testing.T) {
	s := listen(t, turn.Options{})
	good, other := credential(t, s, "annannannann"), credential(t, s, "bobbobbobbob")
	stranger := credential(t, listen(t, turn.Options{}), "annannannann")
	expired := listen(t, turn.Options{Secret: []byte("shared"), TTL: time.Nanosecond})
	for name, tt := range map[string]struct {
		server         *turn.Server
		user, password string
		ok             bool
	}{
		"as given":            {s, good.Username, good.Credential, true},
		"password of another": {s, good.Username, other.Credential, false},
		"of another server":   {s, stranger.Username, stranger.Credential, false},
		"later end":           {s, "9" + good.Username, good.Credential, false},
		"no end":              {s, "annannannann", good.Credential, false},
		"nobody":              {s, "", "", false},
		"expired":             {expired, credential(t, expired, "annannannann").Username, credential(t, expired, "annannannann").Credential, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := tt.server.Stats().Unauthorized
			url := "turn:" + tt.server.Addr().String() + "?transport=udp"
			relay, err := dial(t, tt.server, url, protocol.ICEServer{Username: tt.user, Credential: tt.password}).Allocate()
			if err == nil {
				relay.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("allocate: %v", err)
			}
			if tt.user != "" && !tt.ok && tt.server.Stats().Unauthorized == before {
				t.Errorf("not counted: %+v", tt.server.Stats())
			}
		})
	}
}

// TestSharedSecret has one server take what another gave out, as in a cluster.
func TestSharedSecret(t *testing.T) {
	secret := []byte("known to both")
	urls := []string{"turn:one.test:3478?transport=udp", "turn:two.test:3478?transport=udp"}
	one, two := listen(t, turn.Options{Secret: secret, URLs: urls}), listen(t, turn.Options{Secret: secret})
	cred := credential(t, one, "annannannann")
	if strings.Join(cred.URLs, " ") != strings.Join(urls, " ") {
		t.Errorf("URLs %v", cred.URLs)
	}
	allocate(t, two, "turn:"+two.Addr().String()+"?transport=udp", cred)
}

// TestQuotaOfBytes uses up a credential: its relay ends, and it gets no other, while others go on.
func TestQuotaOfBytes(t *testing.T) {
	s := listen(t, turn.Options{MaxBytes: 20_000})
	ann, bob, eve := credential(t, s, "annannannann"), credential(t, s, "bobbobbobbob"), credential(t, s, "eveeveeveeve")
	a, ra := allocate(t, s, ann.URLs[0], ann)
	b, rb := allocate(t, s, bob.URLs[0], bob)
	permit(t, a, rb)
	permit(t, b, ra)
	allocate(t, s, eve.URLs[0], eve)
	block := bytes.Repeat([]byte{1}, 1000)
	again := time.NewTicker(time.Millisecond) // or more would be lost than arrives
	defer again.Stop()
	for range 10_000 {
		if s.Stats().Allocations <= 2 {
			break
		}
		if _, err := ra.WriteTo(block, rb.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		<-again.C
	}
	if st := s.Stats(); st.Allocations > 2 || st.OverQuota == 0 || st.Bytes > 20_000 {
		t.Fatalf("%+v", st)
	}
	if _, err := dial(t, s, ann.URLs[0], ann).Allocate(); code(err) != stun.CodeAllocQuotaReached {
		t.Errorf("another relay: %v", err)
	}
	allocate(t, s, eve.URLs[0], eve)
	allocate(t, s, bob.URLs[0], bob) // who received it all has spent nothing
}

func TestQuotaOfAllocations(t *testing.T) {
	s := listen(t, turn.Options{MaxAllocations: 2, MaxRelays: 3})
	ann, bob := credential(t, s, "annannannann"), credential(t, s, "bobbobbobbob")
	_, first := allocate(t, s, ann.URLs[0], ann)
	allocate(t, s, ann.URLs[1], ann)
	if _, err := dial(t, s, ann.URLs[0], ann).Allocate(); code(err) != stun.CodeAllocQuotaReached {
		t.Errorf("third of one credential: %v", err)
	}
	allocate(t, s, bob.URLs[0], bob)
	if _, err := dial(t, s, bob.URLs[0], bob).Allocate(); code(err) != stun.CodeInsufficientCapacity {
		t.Errorf("fourth in all: %v", err)
	}
	first.Close()
	allocate(t, s, bob.URLs[0], bob)
}

// TestGarbage leaves the server healthy.
func TestGarbage(t *testing.T) {
	s := listen(t, turn.Options{MaxConnsPerIP: 8})
	udp, err := net.Dial("udp4", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	junk := make([]byte, 1400)
	for size := range len(junk) {
		rand.Read(junk[:size])
		udp.Write(junk[:size])
		junk[0], junk[1] = 0x40, 0x00 // a channel
		udp.Write(junk[:size])
		copy(junk, []byte{0, 3, 0, byte(size), 0x21, 0x12, 0xa4, 0x42}) // an allocation
		udp.Write(junk[:size])
	}
	for range 20 { // more than are let in
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		rand.Read(junk)
		c.Write(append([]byte{0xff, 0xff}, junk...))
		defer c.Close()
		io.Copy(io.Discard, c) // until the server has closed it
	}
	cred := credential(t, s, "annannannann")
	allocate(t, s, cred.URLs[0], cred)
	allocate(t, s, cred.URLs[1], cred)
}

func TestConnectionLimit(t *testing.T) {
	s := listen(t, turn.Options{MaxConnsPerIP: 2})
	cred := credential(t, s, "annannannann")
	allocate(t, s, cred.URLs[1], cred)
	allocate(t, s, cred.URLs[1], cred)
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("third connection: %d, %v", n, err)
	}
}

func TestListenRefuses(t *testing.T) {
	taken := listen(t, turn.Options{})
	for name, tt := range map[string]struct {
		opts turn.Options
		want string
	}{
		"taken":             {turn.Options{Listen: taken.Addr().String()}, "address already in use"},
		"everywhere":        {turn.Options{Listen: "0.0.0.0:0"}, "no single address"},
		"TLS without a key": {turn.Options{Listen: "127.0.0.1:0", ListenTLS: "127.0.0.1:0"}, "no certificate"},
		"no such host":      {turn.Options{Listen: "127.0.0.1:0", Host: "nowhere.invalid"}, "nowhere.invalid"},
		"not an address":    {turn.Options{Listen: "nonsense"}, "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := turn.Listen(t.Context(), &tt.opts)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
