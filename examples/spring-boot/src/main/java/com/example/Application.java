package com.example;

import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.config.http.SessionCreationPolicy;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.web.SecurityFilterChain;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A resource server that verifies access tokens. */
@SpringBootApplication
@RestController
public class Application {
  public static void main(String[] args) {
    SpringApplication.run(Application.class, args);
  }

  /** In place of the property issuer-uri, which makes a decoder that refuses the type of access tokens, at+jwt (RFC 9068). */
  @Bean
  JwtDecoder jwtDecoder(
      @Value("${AUTH_ISSUER:http://localhost:3000}") String issuer, @Value("${AUTH_AUDIENCE:latchkey}") String audience) {
    NimbusJwtDecoder decoder =
        NimbusJwtDecoder.withJwkSetUri(issuer + "/.well-known/jwks.json")
            // Of those that Latchkey signs with, Spring Security knows no EdDSA.
            .jwsAlgorithms(known -> known.addAll(Set.of(SignatureAlgorithm.ES256, SignatureAlgorithm.RS256)))
            .validateType(false)
            .build();
    OAuth2TokenValidator<Jwt> isAccessToken =
        JwtValidators.createAtJwtValidator().issuer(issuer).audience(audience).clientId("latchkey").build();
    // Tokens of services have no session.
    OAuth2TokenValidator<Jwt> isOfUser = new JwtClaimValidator<>("sid", Objects::nonNull);
    decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(isAccessToken, isOfUser));
    return decoder;
  }

  /** Every request needs a token; no session is kept here. */
  @Bean
  SecurityFilterChain security(HttpSecurity http) throws Exception {
    return http.authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
        .oauth2ResourceServer(server -> server.jwt(Customizer.withDefaults()))
        .sessionManagement(sessions -> sessions.sessionCreationPolicy(SessionCreationPolicy.STATELESS))
        .build();
  }

  @GetMapping("/mine")
  Map<String, String> mine(@AuthenticationPrincipal Jwt user) {
    return Map.of("message", "Hello " + user.getClaimAsString("username"), "id", user.getSubject());
  }
}
