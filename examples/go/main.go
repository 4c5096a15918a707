// A service that verifies access tokens with go-oidc, and with -client=URL a service that makes a request with a token of its own.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2/clientcredentials"
)

func env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

var issuer = env("AUTH_ISSUER", "http://localhost:3000")

// Claims of an access token; tokens of services have no session.
type Claims struct {
	ID        string `json:"id"`
	SessionID string `json:"sid"`
	Username  string `json:"username"`
}

// isAccessToken tells access tokens by their type (RFC 9068), at which go-oidc does not look.
func isAccessToken(token string) bool {
	head, _, _ := strings.Cut(token, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(head)
	var header struct{ Typ string }
	return err == nil && json.Unmarshal(decoded, &header) == nil && header.Typ == "at+jwt"
}

func main() {
	client := flag.String("client", "", "URL to request as a service, with CLIENT_ID and CLIENT_SECRET")
	flag.Parse()
	ctx := context.Background()
	// Reads /.well-known/openid-configuration, which also names the algorithms.
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		log.Fatal(err)
	}
	if *client != "" {
		request(ctx, provider, *client)
		return
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: env("AUTH_AUDIENCE", "latchkey")})

	http.HandleFunc("GET /mine", func(w http.ResponseWriter, r *http.Request) {
		claims, err := signedIn(r, verifier)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "Invalid token.", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"message": "Hello " + claims.Username, "id": claims.ID})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+env("PORT", "5000"), nil))
}

func signedIn(r *http.Request, verifier *oidc.IDTokenVerifier) (Claims, error) {
	var claims Claims
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || !isAccessToken(token) {
		return claims, fmt.Errorf("not an access token")
	}
	verified, err := verifier.Verify(r.Context(), token)
	if err != nil {
		return claims, err
	}
	if err := verified.Claims(&claims); err != nil {
		return claims, err
	}
	if claims.SessionID == "" {
		return claims, fmt.Errorf("not a user's token")
	}
	return claims, nil
}

func request(ctx context.Context, provider *oidc.Provider, url string) {
	config := clientcredentials.Config{
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		TokenURL:     provider.Endpoint().TokenURL,
	}
	response, err := config.Client(ctx).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	fmt.Println(response.StatusCode, string(body))
}
