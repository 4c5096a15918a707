import { Type } from '@sinclair/typebox';
import { parseSecrets, type Secrets } from '../secrets.js';
import { type SettingsOf, section } from '../section.js';

export const secrets = section(
  'Secrets',
  {
    AUTH_SECRETS: Type.Optional(
      Type.String({
        description:
          'Comma-separated secrets as `id:base64`, at least 32 bytes each; new data uses the first, older data any of them',
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
