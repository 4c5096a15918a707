package com.example;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.jwk.source.RateLimitReachedException;
import com.nimbusds.jose.proc.BadJOSEException;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.util.Map;
import java.util.Set;

/** A service on the JDK's HTTP server that verifies access tokens with Nimbus. */
public class Server {
  private static final DefaultJWTProcessor<SecurityContext> PROCESSOR = new DefaultJWTProcessor<>();

  public static void main(String[] args) throws IOException {
    Map<String, String> env = System.getenv();
    String issuer = env.getOrDefault("AUTH_ISSUER", "http://localhost:3000");
    String audience = env.getOrDefault("AUTH_AUDIENCE", "latchkey");

    JWKSource<SecurityContext> keys =
        JWKSourceBuilder.create(URI.create(issuer + "/.well-known/jwks.json").toURL()).retrying(true).build();
    // The option that is needed: by default it refuses the type of access tokens (RFC 9068).
    PROCESSOR.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
    PROCESSOR.setJWSKeySelector(new JWSVerificationKeySelector<>(Set.of(JWSAlgorithm.ES256, JWSAlgorithm.RS256), keys));
    // Tokens of services have no session.
    PROCESSOR.setJWTClaimsSetVerifier(
        new DefaultJWTClaimsVerifier<>(
            audience, new JWTClaimsSet.Builder().issuer(issuer).build(), Set.of("exp", "iat", "sub", "sid")));

    HttpServer server =
        HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(env.getOrDefault("PORT", "5000"))), 0);
    server.createContext("/mine", Server::mine);
    server.start();
  }

  private static void mine(HttpExchange exchange) throws IOException {
    try {
      JWTClaimsSet user = PROCESSOR.process(bearer(exchange), null);
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      // A username has no character that JSON would escape.
      String body = "{\"message\":\"Hello %s\",\"id\":\"%s\"}".formatted(user.getStringClaim("username"), user.getSubject());
      respond(exchange, 200, body);
    } catch (ParseException | BadJOSEException | RateLimitReachedException error) {
      // The limit is of tokens that name keys which there are not.
      exchange.getResponseHeaders().set("WWW-Authenticate", "Bearer");
      respond(exchange, 401, "Invalid token.");
    } catch (JOSEException error) {
      respond(exchange, 503, "The keys cannot be read.");
    }
  }

  private static String bearer(HttpExchange exchange) throws ParseException {
    String header = exchange.getRequestHeaders().getFirst("Authorization");
    if (header == null || !header.regionMatches(true, 0, "Bearer ", 0, 7)) throw new ParseException("no bearer token", 0);
    return header.substring(7).trim();
  }

  private static void respond(HttpExchange exchange, int status, String text) throws IOException {
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }
}
