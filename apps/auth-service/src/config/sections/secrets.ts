import { Type } from '@sinclair/typebox';
import { parseSecrets, type Secrets } from '../secrets.js';
import { type SettingsOf, section } from '../section.js';

export const secrets = section(
  'Secrets',
  {
    AUTH_SECRETS: Type.Optional(
      Type.String({
        description:
          'Secrets as `id:base64,…`, at least 32 bytes each; the first is used for new data, all for older data',
        $comment: 'generated in `DATA_DIR` for the embedded PostgreSQL; otherwise required',
      }),
    ),
  },
  ({ authSecrets }, { complain }): { authSecrets?: Secrets } => {
    try {
      return authSecrets ? { authSecrets: parseSecrets(authSecrets) } : {};
    } catch (error) {
      complain(`AUTH_SECRETS: ${(error as Error).message}.`);
      return {};
    }
  },
);
export type SecretsSettings = Required<SettingsOf<typeof secrets>>;
