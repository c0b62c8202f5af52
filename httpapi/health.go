package httpapi

import (
	"io"
	"net/http"
)

// livez answers as long as the process does. It looks at nothing: a node without a quorum is not helped by a restart.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { writeOK(w) }

// readyz answers 200 when requests sent here would be served, else 503 with the reason.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.config.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	writeOK(w)
}

func writeOK(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, "ok\n") // nothing to do about a reader who left
}
