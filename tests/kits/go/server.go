// An application behind the kit. See ../run.mjs for KIT_CONTROL.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"

	"portvakt.no/verify"
)

var (
	vector   string
	now      int64
	verifier *verify.Verifier
)

func current() *verify.Verifier {
	var control struct {
		Vector string
		Now    int64
		Config verify.Config
	}
	text, err := os.ReadFile(os.Getenv("KIT_CONTROL"))
	if err != nil || json.Unmarshal(text, &control) != nil {
		return nil // a configuration that it cannot check: the application would not start
	}
	if control.Vector != vector {
		control.Config.Clock = func() time.Time { return time.Unix(now, 0) }
		if verifier, err = verify.New(control.Config); err != nil {
			return nil
		}
	}
	vector, now = control.Vector, control.Now
	return verifier
}

func main() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var who *string
		if fnr := verify.Identity(r).Fact("fnr"); fnr != "" {
			who = &fnr
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"who": who, "body": string(body)})
	})
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if verifier := current(); verifier == nil {
			w.WriteHeader(http.StatusForbidden)
		} else {
			verifier.Guard(handler).ServeHTTP(w, r)
		}
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), guarded))
}
