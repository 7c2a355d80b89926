// cloud-init's own schema of user-data, which the tests hold deploy/ against; nothing else needs it.

import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, DEV, once, run, say, which } from './tools.mjs';

const FOLDER = join(DEV, 'cloud-init');

/** Where the schema is, once it has been fetched. */
export const CLOUD_INIT = join(
  FOLDER,
  'usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json'
);

/** Unpack Debian's package, which is not installed: it would take over the machine's next boot. */
export function unpackCloudInit() {
  if (!which('apt-get')) {
    say('Without apt-get there is no cloud-init, and its test is skipped');
    return;
  }
  once('cloud-init', [], [CLOUD_INIT], () => {
    say('Fetching the schema of cloud-init');
    rmSync(FOLDER, { recursive: true, force: true });
    mkdirSync(FOLDER, { recursive: true });
    const download = ['-c', `cd "${FOLDER}" && apt-get download cloud-init`];
    if (attempt('sh', download) !== 0) {
      run('apt-get', ['update', '--quiet']);
      run('sh', download);
    }
    const [file] = readdirSync(FOLDER).filter(name => name.endsWith('.deb'));
    run('dpkg-deb', ['--extract', join(FOLDER, file), FOLDER]);
  });
}
