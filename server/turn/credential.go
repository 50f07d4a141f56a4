package turn

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the scheme has it; an HMAC does not need its hash to resist collisions
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"
)

// linger is for how long after its credential's end an allocation may be refreshed. Clients have no way to give a running
// connection the credential that follows.
const linger = 12 * time.Hour

// password is that of a user name: draft-uberti-behave-turn-rest-00, section 2.2.
func (s *Server) password(user string) string {
	mac := hmac.New(sha1.New, s.opts.Secret)
	mac.Write([]byte(user))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// authenticate returns the key that a request must be signed with. It is called before that is checked, by many goroutines.
func (s *Server) authenticate(ra *turn.RequestAttributes) (user string, key []byte, ok bool) {
	end, ok := ends(ra.Username)
	if ok && ra.Method != stun.MethodAllocate {
		end = end.Add(linger)
	}
	if !ok || !time.Now().Before(end) {
		s.counters.unauthorized.Add(1)
		return "", nil, false
	}
	return ra.Username, turn.GenerateAuthKey(ra.Username, ra.Realm, s.password(ra.Username)), true
}

// ends returns when the credential of a user name ends.
func ends(user string) (time.Time, bool) {
	stamp, peer, ok := strings.Cut(user, ":")
	unix, err := strconv.ParseInt(stamp, 10, 64)
	return time.Unix(unix, 0), ok && peer != "" && err == nil
}
