/** What all of these were made of, but Firebase's. */
export const PASSWORD = 'pässword 🔑 42';

/**
 * Hashes that other software made, of low cost where that can be chosen: Django 5.2, Werkzeug 3.1, argon2-cffi 25.1, passlib 1.7.4,
 * Spring Security 6.5 and Better Auth 1.7.
 */
export const FOREIGN: [scheme: string, stored: string][] = [
  ['Django', 'pbkdf2_sha256$1200$Cq3VxqvDKZyJNN5bAGiFZK$gIRi4O1QBsT94u/KlN+M4M2VGvc1Qm1grMGCWZsNZRM='],
  ['Django', 'pbkdf2_sha1$1200$Cq3VxqvDKZyJNN5bAGiFZK$QmyA/zgYv1AF2G/0wD3cfBSnyXA='],
  ['Django', 'bcrypt_sha256$$2b$05$g1T0Cza5SObrnRA91H2cxO4OkR/G5WKLqru3C7rrO2MGTz95kyn4S'],
  ['Django', 'bcrypt$$2b$05$msApRVTypSgvNnUauOACf.3bcE92XPOk28.llkZQ4CaoRFTaPRexe'],
  [
    'Django',
    'argon2$argon2id$v=19$m=1024,t=2,p=2$ZWxDMkVveVBQbVBhYXJodmdGYjhjbQ$g4tMQ9PzfwESjCva4ZnEd6bSrTx1sZbVmm8kPe7UTwY',
  ],
  [
    'Werkzeug',
    'scrypt:1024:8:1$zrnC1KOhlaIWxESh$28bb85ac1bd74ad0bfa193bf90a0be89c9cf34cc3fc30292b4c0358372e8dba9a845854fdd39fe80c7e64a9bf340c8898379cb0f189a05af17f71417649f1bdd',
  ],
  ['Werkzeug', 'pbkdf2:sha256:1200$5cXBp9UmsFr41wYG$8ed60e8bec314aeec83d1024daf012830bbd323e9410972b2e0a5a0f63db7c12'],
  ['Werkzeug', 'pbkdf2:sha1:1200$mLxXBapJ$01de0602894c2f2bcbcfef2ff8d293078bf0ad7d'],
  [
    'Werkzeug',
    'pbkdf2:sha512:1200$4ZA44NjgYjzKqErj$5ab01c581d26d26955568e32135073300f622a67659a3fb314ab0529bbacffc47d5b966a35c2790d8429321139062890b358ac043190e5f643a28bb41c59c2eb',
  ],
  ['argon2-cffi', '$argon2d$v=19$m=256,t=2,p=1$c2FsdHNhbHRzYWx0MTIzNA$lXwZ2tfjtpkhgv5ZkuuWQR/emU31VdgwOJ2G9Sse4mQ'],
  ['argon2-cffi', '$argon2i$v=19$m=256,t=2,p=1$c2FsdHNhbHRzYWx0MTIzNA$HPIL8PBcz7IxH1bnNRaW8HGeFmb+rbik7hn1XlXmokU'],
  ['argon2-cffi', '$argon2id$v=19$m=256,t=2,p=1$c2FsdHNhbHRzYWx0MTIzNA$hbJSZJjurw+mC1wo8eJcHtC6LSZrsGstJToPHT4VOX4'],
  ['argon2-cffi', '$argon2i$v=16$m=512,t=3,p=4$c2FsdHNhbHQ$MP1O48GQt8HxuwvxgdaTNQ'],
  [
    'Django',
    'scrypt$1024$9RfzXLliDRLAD5MnSk2ZJp$8$5$n5Waj/fiH0F1t/MmoLnlmgJp94t6/km9Pdr6h4SK7oJ+LKD8SG9Og3E5k/cMUXVGWuRY92s6sjUWp6fc9le3Xg==',
  ],
  ['passlib', '$pbkdf2$1200$7V3rXcu5N6b03nvvPccYow$mb6hg4JRsQyuzxROqp5t/7LEL/I'],
  ['passlib', '$pbkdf2-sha256$1200$rLV2jnHu/X8vBcA4R4hRKg$NAbOe3ROzgKsBfdLnaBQ/aBzwREXtIhg/jtdSeogQvc'],
  [
    'passlib',
    '$pbkdf2-sha512$1200$9/4fg3DuvTfGOGfsXes9Bw$HfCswtmJdZ0TFqGu6bFN7FBhXsoQNjHkKcqDLlkV2QqS6JOqw.aSMMDdJ6wDGESR8/CsgRZqxGK9TJrjdgv3bA',
  ],
  ['passlib', '$scrypt$ln=10,r=8,p=1$ovT+H2NsDaH0vrc2pjRGSA$feBklZcktXsrNdv03W9jwq4PwmkNFDd7CrdsNJOlOKI'],
  ['passlib', '$bcrypt-sha256$v=2,t=2b,r=5$/A2LC189gFDovs6e80YBAe$J5qoUYDlFc2U2I5fjYWWQ1ZANJol7Oa'],
  ['passlib', '$bcrypt-sha256$2b,5$kW3YG9W9MjOo2U.tVhcDL.$5KJeqKfOtAaJN3zAObC1.NtimExwZQu'],
  ['passlib', '$argon2id$v=19$m=256,t=2,p=1$GuP8f4+xthbi3LvXWotRCg$zOrv2UHX4H4PK3pfzWTXuQsUOf3dkIjVgr2weDLmQGY'],
  ['Spring', '{bcrypt}$2a$05$pJV4aqgAmoszwwuGQCa7NufRYpm4l6XmUMIrRvfwXFIeVfa3vTdUq'],
  ['Spring', '{pbkdf2}882a224035ec3fc0908d3ec3ff4a076d7f761dac3fffcd0a100ecbd4aca1d4ef846581036998fe59'],
  [
    'Spring',
    '{pbkdf2@SpringSecurity_v5_8}bd4f13d18cd472929744836ab3737f054797fcd13a8ab86ff12e3ebbb606090789930126c6dd1c6d4c96d80eaf5061b1',
  ],
  [
    'Spring',
    '{scrypt}$e0801$VnlP2iuTqQxkY96c+qrrc6HHLEGY4YYOaGBNYw2UpTymOhpjnP31yRQWLXIurR+3nk3RfthfQqSKR5MAMM6DkQ==$H6Saw6Ifk/sWS4Fw4GyPMBsUirMMDnxLQb/ErksLV3c=',
  ],
  [
    'Spring',
    '{scrypt@SpringSecurity_v5_8}$100801$xEi/T76lyJMB7ZRHmZQUog==$n43Np1rX/w72/yHybgMgShGSOSwRg5KH939MK5S6+B4=',
  ],
  [
    'Spring',
    '{argon2@SpringSecurity_v5_8}$argon2id$v=19$m=16384,t=2,p=1$MD8Cj6t6yJ4Bxlb8gJdX4Q$6slXDQdcpIfWBz6m1tOw/LU229H/LbcMJ+bJGnrUNek',
  ],
  [
    'Better Auth',
    'b6b0f2e7c0f7eccc356798ad25c3b77a:09995b331d0686d86cd0e1cadd01b04f738b6176725b78a2aa13346f77cdee4a3b486f9d9907570cbb3c15e5af785782e51027b660a30d0397581cb5f9a3f791',
  ],
  // With its defaults, as are the next.
  ['argon2-cffi', '$argon2id$v=19$m=65536,t=3,p=4$6LUHdMzBz026KQeOw0r1RA$ksNXlNMNsC3Gswq3y3UuN+3FB1vlzPcvTZT1aTyTNKQ'],
  [
    'Werkzeug',
    'scrypt:32768:8:1$dq4KecLwbeFmFSJK$a143542e53d4156e6257a2daf639b86ebdb6f74ca1d23de1546ac3bf7f6d42623135e41be534f3c40e56845b9e05352ca7061c16627802505417e62b2278366b',
  ],
  [
    'Werkzeug',
    'pbkdf2:sha256:1000000$uk3ECgJsbQPab4ms$5790751791b71ebdb1248fb51ed727318ec64d9009bb1b2737898e0297032576',
  ],
];

/** The example of https://github.com/firebase/scrypt. */
export const FIREBASE = {
  signerKey: 'jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==',
  options: '--firebase-salt-separator Bw== --firebase-rounds 8 --firebase-mem-cost 14',
  password: 'user1password',
  salt: '42xEC+ixf3L2lw==',
  passwordHash: 'lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==',
};

/** Users of the realm export of Keycloak 26.3, with hashes of {@link PASSWORD} that its own code made. */
export const KEYCLOAK = [
  [
    '{"value":"5eoODMV5C3WPWlj0VNDq5hVhgz54VZqSEhzwWqh5PqD9+BTC8Vc0YXfs/RCbkRvqvX9AUoU6eCzdc7YmDi2bdA==","salt":"P08ADKPn43DwPzKcpQaZXw==","additionalParameters":{}}',
    '{"hashIterations":1200,"algorithm":"pbkdf2-sha256","additionalParameters":{}}',
  ],
  [
    '{"value":"ZsUGpdLDzl2HdYNhIfttjNlkjQMGJpwJrkDCz0xq1Sy2V+k/Dws+vsxXVpaiB1QDOTyj+6YyY5TKSgoh4yuoKw==","salt":"cCgyPDWDksg5AtWSfVfppQ==","additionalParameters":{}}',
    '{"hashIterations":1200,"algorithm":"pbkdf2-sha512","additionalParameters":{}}',
  ],
  [
    '{"value":"osCUZEXDdH6SF0HZSv0DhcStueWAOj6C/x5U6HC3/ybyCqOv6XFGljXQSPDJoXJgpJyAw3bB3jpfWJs2PWAaGA==","salt":"ssXKvoRMZxhtW8pRp0xYVg==","additionalParameters":{}}',
    '{"hashIterations":1200,"algorithm":"pbkdf2","additionalParameters":{}}',
  ],
  [
    '{"value":"jD8P1FxOJz4hmBYUlgquFKhIV/Qne3nXt7SaaK1Agto=","salt":"nRQJiT40VB0Sgfg/lyaQfw==","additionalParameters":{}}',
    '{"hashIterations":2,"algorithm":"argon2","additionalParameters":{"hashLength":["32"],"memory":["256"],"type":["id"],"version":["1.3"],"parallelism":["1"]}}',
  ],
].map(([secretData, credentialData], i) => ({
  ...{ id: `11111111-2222-4333-8444-55555555555${i}`, createdTimestamp: 1715000000000, username: `keycloak-${i}` },
  ...{ enabled: i !== 1, email: `keycloak-${i}@example.com`, emailVerified: i === 0, totp: false, requiredActions: [] },
  credentials: [{ id: 'c', type: 'password', createdDate: 1715000000000, secretData, credentialData }],
}));

/** A row of each kind in the NDJSON that Auth0's support makes, whose hashes are bcrypt's. */
export const AUTH0 = [
  {
    _id: { $oid: '60425dc43519d90068f82973' },
    email: 'ada@example.com',
    email_verified: true,
    tenant: 'x',
    connection: 'x',
  },
  { _id: { $oid: '60425dc43519d90068f82974' }, email: 'bea@example.com', email_verified: false, _tmp_is_unique: true },
];
