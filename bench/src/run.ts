// Shows what the service promises: speed by ratio to a reference in the same run, and the rest by trying to break it.
import { runCommand } from './command-line.js';
import { codes } from './parts/codes.js';
import { forgery } from './parts/forgery.js';
import { hog } from './parts/hog.js';
import { links } from './parts/links.js';
import { massSignOut } from './parts/mass-sign-out.js';
import { oracle } from './parts/oracle.js';
import { outage } from './parts/outage.js';
import { peers } from './parts/peers.js';
import { races } from './parts/races.js';
import { rotation } from './parts/rotation.js';
import { scale } from './parts/scale.js';
import { signOut } from './parts/sign-out.js';
import { speed } from './parts/speed.js';
import { storm } from './parts/storm.js';

const HELP = `Usage: pnpm bench [PART…] [options]

Parts; all of them when none is named:
  speed      sign-ins, token checks and refreshes, each beside a reference in the same run, by rate and by the CPU of each
             process; start and memory
  storm      token checks and refreshes while sign-ins arrive at 1, 5 and 50 times what can be hashed, and while another
             process keeps a core busy as well
  hog        an honest person signs in while one account hogs sign-ins with its right password; and lists of an account
             with 30,000 sessions
  peers      sign-ins, and checks while 64 people sign in: here, at Better Auth and, where python3-flask is installed,
             at a Flask app, and at Keycloak where asked for; who is refused comes back when told, or at once if they
             insist
  scale      sign-ins with a thousand, a hundred thousand and a million accounts; with --accounts instead a simulation of
             an installation: sizes, refreshes, sign-ins, sweep and vacuum
  oracle     whether the time of a refused sign-in tells why it was refused, or that the account has a second factor, and
             whether that of a request for a reset or of a sign-up by mail tells that an account has the address
  races      parallel refreshes on 3 replicas, refreshes whose answer is lost, and stolen tokens
  links      uses of the link of a mail that race on 3 replicas
  codes      uses of a code of an authenticator app, and of a recovery code, that race on 3 replicas
  rotation   keys rotate under load on 3 replicas; verifiers refuse no live token
  sign-out   from a sign-out to its token being refused by a verifier that follows another replica
  mass-sign-out
             a million sessions are ended by one statement: until every replica and verifier refuses them
  outage     auth-service and its database are away; verifiers go on for as long as they were told to
  forgery    mutated tokens, at the service and at a verifier

Options:
  --cost N         speed, storm, peers, hog: bcrypt's cost (12, 10, 10, 12)
  --seconds N      speed, storm, peers, scale --accounts: length of a measurement (5, 40, 10, 10); hog, rotation: of the
                   load (60, 30)
  --rounds N       speed: how many processes of the service and the reference take turns (5); storm: how many times (5)
  --count N        races, forgery: how many (10000); links: how many (100); codes: how many rounds (1000); oracle: how many of each kind (2000); sign-out: how many (300);
                   mass-sign-out: how many sessions (1000000)
  --accounts N     scale: simulate so many accounts, each with a session; 10 million take some 20 GB of disk
  --peer keycloak  peers: Keycloak too, whose distribution Maven downloads into its repository; needs Java
  --keycloak-home DIR
                   peers: Keycloak too, from an unpacked distribution, which is copied
  --outage N       outage: how long, in seconds (30)
  --out DIR        write bench.json there, and the plots as SVG
  --json           print JSON only
  --report-only    end with 0 although a promise is missed; not when something happened that must never happen

Exit code 1: a promise is missed, or something happened that must never happen.`;

await runCommand({
  name: 'bench',
  help: HELP,
  parts: {
    ...{ speed, storm, hog, peers, scale, oracle },
    ...{ races, links, codes, rotation, 'sign-out': signOut, 'mass-sign-out': massSignOut, outage, forgery },
  },
  texts: { peer: /^keycloak$/, 'keycloak-home': /./ },
  numbers: ['cost', 'seconds', 'rounds', 'count', 'accounts', 'outage'],
});
