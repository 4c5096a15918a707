/** What all of these were made of, but Firebase's. */
export const PASSWORD = 'pässword 🔑 42';

/** Hashes that other software made: with Django 5.2, Werkzeug 3.1 and argon2-cffi 25.1, of low cost. */
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
