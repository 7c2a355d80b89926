// cloud-init's own schema of user-data, which the tests hold deploy/ against; nothing else needs it.

import { join } from 'node:path';
import { DEV, once, say, unpackDebian, which } from './tools.mjs';

const FOLDER = join(DEV, 'cloud-init');

/** Where the schema is, once it has been fetched. */
export const CLOUD_INIT = join(
  FOLDER,
  'usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json'
);

/** Fetch the schema: of cloud-init itself nothing is run, nor installed. */
export function unpackCloudInit() {
  if (!which('apt-get')) {
    say('Without apt-get there is no cloud-init, and its test is skipped');
    return;
  }
  once('cloud-init', [], [CLOUD_INIT], () => {
    say('Fetching the schema of cloud-init');
    unpackDebian('cloud-init', FOLDER);
  });
}
