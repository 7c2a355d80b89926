// The environments of every PySpark and Python, and the oldest and newest that a server runs with.

import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { lab, labEnvironment } from './setup.mjs';
import { DEV, once, output, ROOT, run, say } from './tools.mjs';

/** Where they are. docs/compatibility.md says the same for people. */
const MATRIX = join(DEV, 'matrix');

/** Each PySpark once, and each Python; both ipykernels. */
export const SPARKS = [
  { spark: '3.5', python: '3.10', ipykernel: '<7' },
  { spark: '4.0', python: '3.11', ipykernel: '>=7' },
  { spark: '4.1', python: '3.12', ipykernel: '>=7' },
  { spark: '4.2', python: '3.13', ipykernel: '>=7' },
  { spark: '4.3', python: '3.13', ipykernel: '>=7' }
];

/** The two ends of what a server runs with. */
const SERVERS = [
  {
    name: 'oldest',
    python: '3.10',
    resolution: 'lowest-direct',
    lab: ['jupyterlab==4.0.0']
  },
  {
    name: 'newest',
    python: '3.13',
    resolution: 'highest',
    lab: ['jupyterlab', 'notebook>=7']
  }
];

/** What the tests need that run inside of these. */
const TESTING = [
  'pytest',
  'pytest-jupyter[server]',
  'hypothesis',
  'jsonschema',
  'psutil'
];

const DIST = join(MATRIX, 'dist');
const DECLARED = join(ROOT, 'pyproject.toml');

function uv(...args) {
  run(lab('uv'), ['--quiet', ...args], environmentOfUv());
}

/** pyenv's shims are no Pythons, but what they stand for is. */
function environmentOfUv() {
  const versions = join(
    process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'),
    'versions'
  );
  const found = existsSync(versions) ? readdirSync(versions) : [];
  const folders = found.map(name => join(versions, name, 'bin'));
  return {
    ...labEnvironment(),
    PATH: [...folders, process.env.PATH].join(delimiter)
  };
}

function makeEnvironment(path, python, ...packages) {
  rmSync(path, { force: true, recursive: true });
  uv('venv', '--python', python, path);
  uv('pip', 'install', '--python', join(path, 'bin', 'python'), ...packages);
}

/** Make an environment for kernels: its stamp is what it is made of. */
function installSpark({ spark, python, ipykernel }) {
  const packages = [`pyspark~=${spark}.0`, `ipykernel${ipykernel}`];
  const path = join(MATRIX, `spark-${spark}`);
  once(
    `matrix-spark-${spark}`,
    [python, ...packages],
    [join(path, 'bin', 'python')],
    () => {
      say(`Installing PySpark ${spark} for Python ${python} (800 MB)`);
      makeEnvironment(path, python, ...packages);
    }
  );
  return path;
}

/** Make an environment of a server, with what people install. */
function installServer({ name, python, resolution, lab: programs }, wheel) {
  const path = join(MATRIX, `server-${name}`);
  const inputs = [DECLARED, wheel, python, ...programs, ...TESTING];
  once(
    `matrix-server-${name}`,
    inputs,
    [join(path, 'bin', 'jupyter-lab')],
    () => {
      say(`Installing a server with the ${name} packages for Python ${python}`);
      const pins = join(MATRIX, `${name}.txt`);
      // Of what is declared, and not of what that needs in turn.
      const declared = [
        '--resolution',
        resolution,
        '--python',
        python,
        '--output-file',
        pins
      ];
      uv(
        'pip',
        'compile',
        DECLARED,
        '--no-annotate',
        '--no-header',
        ...declared
      );
      makeEnvironment(
        path,
        python,
        '--constraints',
        pins,
        wheel,
        ...programs,
        ...TESTING
      );
    }
  );
  return path;
}

/** Build what people install; it is the same to the byte while its sources are. */
function buildWheel() {
  say('Building what people install');
  rmSync(DIST, { force: true, recursive: true });
  run(
    lab('python'),
    ['-m', 'build', '--wheel', '--outdir', DIST, ROOT],
    labEnvironment()
  );
  return join(
    DIST,
    readdirSync(DIST).find(name => name.endsWith('.whl'))
  );
}

/** Make the environments of these PySparks, and of both servers; return where they are, as a PATH. */
export function installMatrix(sparks) {
  mkdirSync(MATRIX, { recursive: true });
  const kernels = sparks.map(installSpark);
  const wheel = buildWheel();
  const servers = SERVERS.map(server => installServer(server, wheel));
  return [...kernels, ...servers].join(delimiter);
}

/** Make the environments of the oldest PySpark and of both servers, or say why that cannot be. */
export function installEnds() {
  const oldest = SPARKS[0];
  const missing = [oldest, ...SERVERS].find(
    ({ python }) =>
      output(lab('uv'), ['python', 'find', python], environmentOfUv()) === null
  );
  if (missing) {
    say(
      `There is no Python ${missing.python}, so the oldest and the newest packages are not tested`
    );
    return '';
  }
  return installMatrix([oldest]);
}
