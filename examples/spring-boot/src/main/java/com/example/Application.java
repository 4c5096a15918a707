package com.example;

import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
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
    NimbusJwtDecoder decoder = NimbusJwtDecoder.withIssuerLocation(issuer).validateType(false).build();
    // Tokens of users are issued to the client "latchkey", and those of services to the service.
    decoder.setJwtValidator(
        JwtValidators.createAtJwtValidator().issuer(issuer).audience(audience).clientId("latchkey").build());
    return decoder;
  }

  @GetMapping("/mine")
  Map<String, String> mine(@AuthenticationPrincipal Jwt user) {
    return Map.of("message", "Hello " + user.getClaimAsString("username"), "id", user.getSubject());
  }
}
