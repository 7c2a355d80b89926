// The thin client of Spark Connect, and the nginx that has TLS for its server; only tests need them.

import { join } from 'node:path';
import { CONSTRAINTS, makeEnvironment, pip } from './setup.mjs';
import { DEV, Failure, once, run, say, unpackDebian, which } from './tools.mjs';

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
  unpackDebian('nginx', FOLDER);
  // Which its libraries have to be there for.
  run(UNPACKED, ['-v']);
}
