// What the scripts share: running programs, saying what is going on, doing work only once.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Everything that the scripts make lies in here, or in node_modules. */
export const DEV = join(ROOT, '.dev');

/** Something is missing on this machine, or a step failed: one sentence, no stack. */
export class Failure extends Error {}

/** Say what happens now. */
export function say(text) {
  console.log(`\n▸ ${text}`);
}

/** Run a program in the checkout, its output shown; return its exit code. */
export function attempt(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit']
  });
  if (error) {
    throw new Failure(`${command} cannot be run: ${error.message}.`);
  }
  return status ?? 1;
}

/** Run a program as `attempt` does, and fail when it does. */
export function run(command, args, env = {}) {
  const status = attempt(command, args, env);
  if (status !== 0) {
    throw new Failure(
      `“${[command, ...args].join(' ')}” ended with ${status}; its messages are above.`
    );
  }
}

/** What a program prints, or null when it cannot be run. */
export function output(command, args, env = {}) {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env }
  });
  return status === 0 ? `${stdout}${stderr}`.trim() : null;
}

/** The first of these programs that is on the PATH, or null. */
export function which(...names) {
  for (const name of names) {
    for (const directory of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not in this directory.
      }
    }
  }
  return null;
}

/** Do a piece of work unless it was done already for the same inputs. */
export function once(name, inputs, needed, work) {
  const stamp = join(DEV, 'stamps', name);
  const fingerprint = hash(inputs);
  const done =
    needed.every(existsSync) &&
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === fingerprint;
  if (!done) {
    work();
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, fingerprint);
  }
}

/** Unpack a package of Debian into a folder: installed it would be a service of this machine. */
export function unpackDebian(name, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const download = ['-c', `cd "${folder}" && apt-get download ${name}`];
  if (attempt('sh', download) !== 0) {
    run('apt-get', ['update', '--quiet']);
    run('sh', download);
  }
  const [file] = readdirSync(folder).filter(name => name.endsWith('.deb'));
  run('dpkg-deb', ['--extract', join(folder, file), folder]);
}

/** A fingerprint of texts, and of files and folders by their content. */
function hash(inputs) {
  const digest = createHash('sha256');
  for (const input of inputs) {
    digest.update(`${input}\0`);
    for (const file of existsSync(input) ? files(input) : []) {
      digest.update(`${file}\0`).update(readFileSync(file));
    }
  }
  return digest.digest('hex');
}

function files(path) {
  if (!statSync(path).isDirectory()) {
    return [path];
  }
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Run a script's main function; what fails is one sentence. */
export async function main(work) {
  try {
    process.exitCode = (await work()) ?? 0;
  } catch (error) {
    if (!(error instanceof Failure)) {
      throw error;
    }
    console.error(`\n✗ ${error.message}`);
    process.exitCode = 1;
  }
}
