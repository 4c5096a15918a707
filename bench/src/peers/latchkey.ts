import { clientOf, setStage } from '../stage.js';
import { checker, type OnEnd, type Peer } from './peer.js';

/** Ours: a token is checked without the database. */
export async function startLatchkey(cost: number, onEnd: OnEnd): Promise<Peer> {
  const stage = await setStage({ BCRYPT_COST: String(cost), THROTTLE_ENABLED: 'false' });
  onEnd(stage.stop);
  const { url } = await stage.start();
  const credentials = { username: 'peer', password: 'open sesame 42' };
  const { token } = await clientOf({ url }).signUp(credentials);
  return {
    name: 'Latchkey',
    signIn: { url: `${url}/auth/sign-in`, body: credentials },
    check: checker(`${url}/auth/verify`, { headers: { authorization: `Bearer ${token}` } }),
  };
}
