// The thin client of Spark Connect, and the nginx that has TLS for its server; only tests need them.

import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CONSTRAINTS, makeEnvironment, pip } from './setup.mjs';
import { attempt, DEV, Failure, once, run, say, which } from './tools.mjs';

/** An environment with pyspark-client and an IPython kernel, and no Java. */
export const CONNECT = join(DEV, 'connect');

const FOLDER = join(DEV, 'nginx');
const UNPACKED = join(FOLDER, 'usr/sbin/nginx');

/** Make the environment of thin kernels. */
export function installConnect(python) {
  once('connect', [CONSTRAINTS], [join(CONNECT, 'bin', 'pip')], () => {
    say('Installing the thin client of Spark Connect (600 MB)');
    makeEnvironment(python, CONNECT);
    pip(CONNECT, 'pyspark-client', 'pandas', 'ipykernel');
  });
}

/** The machine's nginx, or else Debian's, unpacked: installed it would take ports of the machine. */
export function findNginx() {
  const found = which('nginx');
  if (found) {
    return found;
  }
  try {
    once('nginx', [], [UNPACKED], unpackNginx);
    return UNPACKED;
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    say(`${error.message} Without nginx Spark Connect's server is not tested.`);
    return '';
  }
}

function unpackNginx() {
  say('Fetching nginx');
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  const download = ['-c', `cd "${FOLDER}" && apt-get download nginx`];
  if (attempt('sh', download) !== 0) {
    run('apt-get', ['update', '--quiet']);
    run('sh', download);
  }
  const [file] = readdirSync(FOLDER).filter(name => name.endsWith('.deb'));
  run('dpkg-deb', ['--extract', join(FOLDER, file), FOLDER]);
  // Which its libraries have to be there for.
  run(UNPACKED, ['-v']);
}
