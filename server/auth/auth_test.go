package auth_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/shoaldb/shoal/internal/leakcheck"
	"github.com/shoaldb/shoal/server/auth"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const (
	secret = "a secret of more than 32 bytes, for tests"
	other  = "another secret of more than 32 bytes, too"
	room   = "my-users-pool"
)

var now = time.Unix(1_800_000_000, 0)

func open(t *testing.T, sources ...string) *auth.Keys {
	t.Helper()
	k, err := auth.Open(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a token by hand, so that what is checked is not what made it.
func sign(header, claims, key string) string {
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

const hs256 = `{"alg":"HS256","typ":"JWT"}`

func TestCheck(t *testing.T) {
	k := open(t, secret)
	for _, tt := range []struct {
		name, claims string
		want         error
		text         string
	}{
		{"exact", `{"rooms":["my-users-pool"],"exp":1800000001}`, nil, ""},
		{"among others", `{"rooms":["x","my-users-pool"],"exp":1800000001.5}`, nil, ""},
		{"prefix", `{"rooms":["my-users-*"],"exp":1800000001}`, nil, ""},
		{"all", `{"rooms":["*"],"exp":1800000001}`, nil, ""},
		{"other prefix", `{"rooms":["your-*"],"exp":1800000001}`, auth.ErrRoom, `"my-users-pool", but for your-*`},
		{"star inside", `{"rooms":["my-*-pool"],"exp":1800000001}`, auth.ErrRoom, ""},
		{"longer", `{"rooms":["my-users-pool-2"],"exp":1800000001}`, auth.ErrRoom, ""},
		{"shorter", `{"rooms":["my-users"],"exp":1800000001}`, auth.ErrRoom, ""},
		{"other case", `{"rooms":["My-Users-Pool"],"exp":1800000001}`, auth.ErrRoom, ""},
		{"expired", `{"rooms":["*"],"exp":1800000000}`, auth.ErrExpired, "at 2027-01-15T08:00:00Z"},
		{"not yet", `{"rooms":["*"],"exp":1800009999,"nbf":1800000031}`, auth.ErrNotYetValid, "from 2027-01-15T08:00:31Z"},
		{"within leeway", `{"rooms":["*"],"exp":1800009999,"nbf":1800000030}`, nil, ""},
		{"no exp", `{"rooms":["*"]}`, auth.ErrClaims, "exp"},
		{"no rooms", `{"exp":1800000001}`, auth.ErrClaims, "rooms"},
		{"empty rooms", `{"rooms":[],"exp":1800000001}`, auth.ErrClaims, "rooms"},
		{"empty name", `{"rooms":[""],"exp":1800000001}`, auth.ErrRoom, ""},
		{"rooms no list", `{"rooms":"*","exp":1800000001}`, auth.ErrClaims, "lists of strings"},
		{"exp no number", `{"rooms":["*"],"exp":"tomorrow"}`, auth.ErrClaims, ""},
		{"not JSON", `rooms`, auth.ErrClaims, ""},
		{"null", `null`, auth.ErrClaims, ""},
		{"keys in another case", `{"rooms":["x"],"Rooms":["*"],"exp":1800000001}`, auth.ErrRoom, ""},
		{"repeated keys", `{"rooms":["x"],"rooms":["*"],"exp":1800000001}`, auth.ErrClaims, ""},
		{"may join", `{"rooms":["*"],"exp":1800000001,"permissions":["join"]}`, nil, ""},
		{"may not join", `{"rooms":["*"],"exp":1800000001,"permissions":["relay"]}`, auth.ErrPermission, ""},
		{"may nothing", `{"rooms":["*"],"exp":1800000001,"permissions":[]}`, auth.ErrPermission, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := k.Check(room, sign(hs256, tt.claims, secret), now)
			if !errors.Is(err, tt.want) || (err == nil) != (c != nil) {
				t.Fatalf("%+v, %v; want %v", c, err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want it to say %q", err, tt.text)
			}
		})
	}
}

// TestForgeries has tokens whose claims are fine, and what signs them is not.
func TestForgeries(t *testing.T) {
	const claims = `{"rooms":["*"],"exp":1800000001}`
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"` + b64(public) + `"},{"kty":"oct","kid":"hs","alg":"HS256","k":"` + b64([]byte(secret)) + `"}]}`
	k := open(t, "file:"+file(t, set))
	eddsa := func(header string) string {
		text := b64([]byte(header)) + "." + b64([]byte(claims))
		return text + "." + b64(ed25519.Sign(private, []byte(text)))
	}
	good := sign(`{"alg":"HS256","kid":"hs"}`, claims, secret)
	head, rest, _ := strings.Cut(good, ".")
	body, sig, _ := strings.Cut(rest, ".")
	sha := hmac.New(sha512.New, []byte(secret))
	hs512 := b64([]byte(`{"alg":"HS512","kid":"hs"}`)) + "." + body
	sha.Write([]byte(hs512))
	for _, tt := range []struct {
		name, token string
		want        error
		text        string
	}{
		{"good", good, nil, ""},
		{"good without kid", sign(hs256, claims, secret), nil, ""},
		{"good EdDSA", eddsa(`{"alg":"EdDSA","kid":"ed"}`), nil, ""},
		{"good EdDSA without kid", eddsa(`{"alg":"EdDSA"}`), nil, ""},
		{"none", "", auth.ErrNoToken, ""},
		{"words", "let me in", auth.ErrMalformed, ""},
		{"dots", "..", auth.ErrAlgorithm, ""},
		{"four parts", good + ".x", auth.ErrMalformed, ""},
		{"huge", strings.Repeat("x", 9000), auth.ErrMalformed, "8192"},
		{"alg none", b64([]byte(`{"alg":"none"}`)) + "." + body + ".", auth.ErrAlgorithm, `"none"; tokens are signed with HS256 or EdDSA`},
		{"alg None with signature", sign(`{"alg":"None"}`, claims, secret), auth.ErrAlgorithm, `"None"`},
		{"no alg", sign(`{"typ":"JWT"}`, claims, secret), auth.ErrAlgorithm, ""},
		{"HS512", hs512 + "." + b64(sha.Sum(nil)), auth.ErrAlgorithm, `"HS512"`},
		{"public key as secret", sign(`{"alg":"HS256","kid":"ed"}`, claims, string(public)), auth.ErrAlgorithm, "token says HS256, and the key is for EdDSA"},
		{"public key as secret, without kid", sign(hs256, claims, string(public)), auth.ErrSignature, ""},
		{"secret as EdDSA", eddsa(`{"alg":"EdDSA","kid":"hs"}`), auth.ErrAlgorithm, "token says EdDSA, and the key is for HS256"},
		{"unknown kid", sign(`{"alg":"HS256","kid":"old"}`, claims, secret), auth.ErrSignature, `kid "old"`},
		{"other secret", sign(hs256, claims, other), auth.ErrSignature, ""},
		{"other claims", head + "." + b64([]byte(`{"rooms":["*"],"exp":1900000000}`)) + "." + sig, auth.ErrSignature, ""},
		{"no signature", head + "." + body + ".", auth.ErrSignature, ""},
		{"key in the header", sign(`{"alg":"HS256","jwk":{"kty":"oct","k":"`+b64([]byte(other))+`"}}`, claims, other), auth.ErrMalformed, ""},
		{"critical extension", sign(`{"alg":"HS256","crit":["b64"],"b64":false}`, claims, secret), auth.ErrSignature, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := k.Check(room, tt.token, now)
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestIssue(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := `{"kty":"OKP","crv":"Ed25519","kid":"k1","d":"` + b64(private.Seed()) + `","x":"` + b64(private.Public().(ed25519.PublicKey)) + `"}`
	for _, source := range []string{secret, "file:" + file(t, jwk), "file:" + file(t, secret+"\n\n"+other+"\n")} {
		k := open(t, source)
		token, err := k.Issue(&auth.Claims{
			Rooms: []string{"my-*"}, Permissions: []auth.Permission{auth.Join, auth.TURN}, Subject: "alice", Expires: jwt.NewNumericDate(now.Add(time.Hour)),
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := k.Check(room, token, now)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Allows(auth.TURN) || c.Allows(auth.Relay) || c.Subject != "alice" || !c.Expires.Time().Equal(now.Add(time.Hour)) {
			t.Errorf("%+v", c)
		}
		if _, err := k.Check("your-pool", token, now); !errors.Is(err, auth.ErrRoom) {
			t.Errorf("other room: %v", err)
		}
	}
	public := `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"` + b64(private.Public().(ed25519.PublicKey)) + `"}]}`
	if _, err := open(t, "file:"+file(t, public)).Issue(&auth.Claims{}); err == nil || !strings.Contains(err.Error(), "private part") {
		t.Errorf("signed with a public key: %v", err)
	}
	if c := new(auth.Claims); !c.Allows(auth.Join) || !c.Allows(auth.Relay) || !c.Allows(auth.TURN) {
		t.Error("a token without permissions has not all")
	}
}

// TestRotation has tokens of an old key and a new one, and takes the old one away.
func TestRotation(t *testing.T) {
	path := file(t, secret+"\n")
	k := open(t, "file:"+path)
	old, err := k.Issue(&auth.Claims{Rooms: []string{"*"}, Expires: jwt.NewNumericDate(now.Add(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	if k.Changed() {
		t.Error("changed before it did")
	}
	change := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if !k.Changed() {
			t.Error("change not noticed")
		}
	}
	change(other + "\n" + secret + "\n")
	if err := k.Reload(); err != nil || k.Len() != 2 || k.Changed() {
		t.Fatalf("%v, %d keys", err, k.Len())
	}
	fresh, err := k.Issue(&auth.Claims{Rooms: []string{"*"}, Expires: jwt.NewNumericDate(now.Add(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{old, fresh} {
		if _, err := k.Check(room, token, now); err != nil {
			t.Error(err)
		}
	}
	change("too short\n")
	if err := k.Reload(); err == nil || !k.Changed() {
		t.Error("bad keys were taken")
	}
	if _, err := k.Check(room, old, now); err != nil {
		t.Errorf("after a bad file: %v", err)
	}
	change(other)
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Check(room, old, now); !errors.Is(err, auth.ErrSignature) {
		t.Errorf("token of a key that is gone: %v", err)
	}
	if _, err := k.Check(room, fresh, now); err != nil {
		t.Error(err)
	}
	os.Remove(path)
	if err := k.Reload(); err == nil {
		t.Error("a file that is gone was read")
	}
	if _, err := k.Check(room, fresh, now); err != nil {
		t.Errorf("after the file went: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := json.Marshal(map[string]string{"kty": "RSA", "n": b64(private.N.Bytes()), "e": "AQAB"})
	if err != nil {
		t.Fatal(err)
	}
	oct := `{"kty":"oct","k":"` + b64([]byte(secret)) + `"`
	for _, tt := range []struct{ source, want string }{
		{"short", "secret has 5 bytes"},
		{"file:" + filepath.Join(t.TempDir(), "none"), "no such file"},
		{"file:" + file(t, ""), "there is none"},
		{"file:" + file(t, "short\n"), "secret has 5 bytes"},
		{"file:" + file(t, "{"), "not a JWK"},
		{"file:" + file(t, `{"keys":[]}`), "no key of type"},
		{"file:" + file(t, `{"keys":[`+string(rsaKey)+`]}`), "rsa.PublicKey"},
		{"file:" + file(t, `{"kty":"oct","k":"c2hvcnQ"}`), "has 5 bytes"},
		{"file:" + file(t, oct+`,"alg":"HS512"}`), "is for HS512"},
		{"file:" + file(t, oct+`,"use":"enc"}`), `use is "enc"`},
		{"file:" + file(t, `{"kty":"new"}`), "unsupported key type"},
	} {
		if _, err := auth.Open(tt.source); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.source, err, tt.want)
		}
	}
	if _, err := auth.Open(); err == nil {
		t.Error("opened no keys")
	}
	k := open(t, "file:"+file(t, `{"keys":[`+string(rsaKey)+`,`+oct+`}]}`))
	if k.Len() != 1 {
		t.Errorf("%d keys beside one that is passed over", k.Len())
	}
}
