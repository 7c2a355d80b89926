// Makes everything that `npm start` and `npm test` need, inside the checkout, and only what is missing.

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  attempt,
  DEV,
  Failure,
  once,
  output,
  ROOT,
  run,
  say,
  which
} from './tools.mjs';

/** The environment of JupyterLab, our server extension and the tools. */
export const LAB = join(DEV, 'lab');

/** The folder that JupyterLab opens. */
export const WORKSPACE = join(DEV, 'workspace');

/** The environment that the form offers: PySpark and an IPython kernel. */
export const PYSPARK = join(WORKSPACE, '.venv');

/** The versions that everything is installed in. */
export const CONSTRAINTS = join(ROOT, 'scripts', 'constraints.txt');
const LABEXTENSION = join(
  ROOT,
  'server/jupyterlab_pyspark_kernels/labextension'
);
const LINK = join(
  LAB,
  'share/jupyter/labextensions/jupyterlab-pyspark-kernels'
);

/** A program of the development environment. */
export function lab(name) {
  return join(LAB, 'bin', name);
}

/** What our programs need to find their siblings. */
export function labEnvironment() {
  return {
    PATH: `${join(LAB, 'bin')}:${process.env.PATH}`,
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD: '1'
  };
}

/** Set up the checkout; give the Python that environments are made of. */
export function setup() {
  checkNode();
  checkJava();
  const python = findPython();
  installPython(python);
  installNode();
  buildExtension();
  installPySpark(python);
  return python;
}

function checkNode() {
  if (Number(process.versions.node.split('.')[0]) < 20) {
    throw new Failure(
      `Node.js ${process.versions.node} is too old. Install Node.js 20 or newer.`
    );
  }
}

function checkJava() {
  const home = process.env.JAVA_HOME;
  const java = home ? join(home, 'bin', 'java') : 'java';
  const printed = output(java, ['-version']);
  if (printed === null) {
    throw new Failure(
      home
        ? `JAVA_HOME is ${home}, which has no bin/java. Set it to a Java 17 or newer, or unset it.`
        : 'There is no Java. Install Java 17 or newer, such as openjdk-17-jre-headless.'
    );
  }
  const version = Number(/version "(?:1\.)?(\d+)/.exec(printed)?.[1]);
  if (version < 17) {
    throw new Failure(`Java ${version} is too old. Install Java 17 or newer.`);
  }
}

function findPython() {
  const asked = process.env.PYTHON;
  const python = asked ?? which('python3', 'python');
  const code = 'import sys; print("%d.%d" % sys.version_info[:2])';
  const version = python && output(python, ['-c', code]);
  if (!version) {
    throw new Failure(
      asked
        ? `PYTHON is ${asked}, which does not run. Set it to a Python 3.10 or newer.`
        : 'There is no Python. Install Python 3.10 or newer.'
    );
  }
  const [major, minor] = version.split('.').map(Number);
  if (major < 3 || (major === 3 && minor < 10)) {
    throw new Failure(
      `${python} is Python ${version}. Install Python 3.10 or newer, and name it in PYTHON.`
    );
  }
  return python;
}

/** Make a virtual environment, unless there is one. */
export function makeEnvironment(python, path) {
  if (!existsSync(join(path, 'bin', 'pip'))) {
    const code = attempt(python, ['-m', 'venv', '--clear', path]);
    if (code !== 0) {
      throw new Failure(
        `${python} cannot make a virtual environment. Install its venv module, such as python3-venv.`
      );
    }
  }
}

/** Install packages into an environment, in the versions of the constraints. */
export function pip(environment, ...args) {
  const python = join(environment, 'bin', 'python');
  run(python, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--constraint',
    CONSTRAINTS,
    ...args
  ]);
}

function installPython(python) {
  const inputs = [join(ROOT, 'pyproject.toml'), CONSTRAINTS];
  once('python', inputs, [lab('jlpm'), lab('pytest')], () => {
    say('Installing JupyterLab and the tools (a minute or two the first time)');
    makeEnvironment(python, LAB);
    pip(LAB, 'jupyterlab', 'jupyter-builder');
  });
}

function installNode() {
  const inputs = ['package.json', 'yarn.lock', '.yarnrc.yml'].map(name =>
    join(ROOT, name)
  );
  once('node', inputs, [join(ROOT, 'node_modules', '.bin', 'tsc')], () => {
    say('Installing the JavaScript packages (some minutes the first time)');
    run(lab('jlpm'), ['install', '--immutable'], labEnvironment());
  });
}

function buildExtension() {
  const sources = [
    'src',
    'style',
    'schema',
    'package.json',
    'tsconfig.json',
    'yarn.lock'
  ];
  const inputs = sources.map(name => join(ROOT, name));
  once('extension', inputs, [join(LABEXTENSION, 'package.json')], () => {
    say('Building the extension');
    run(lab('jlpm'), ['build:prod'], labEnvironment());
  });
  once(
    'editable',
    [join(ROOT, 'pyproject.toml'), CONSTRAINTS],
    [lab('jupyter-pyspark-kernels')],
    () => {
      say('Installing the extension');
      // Through the link of an earlier time, pip would write into what was built.
      rmSync(LINK, { force: true, recursive: true });
      pip(LAB, '--editable', `${ROOT}[dev,docs,test]`);
      // An editable install copies the built extension; a link shows later builds as well.
      run(
        lab('jupyter-builder'),
        ['develop', '.', '--overwrite'],
        labEnvironment()
      );
    }
  );
}

function installPySpark(python) {
  once('pyspark', [CONSTRAINTS], [join(PYSPARK, 'bin', 'pip')], () => {
    say('Installing PySpark into an environment of its own (460 MB)');
    mkdirSync(WORKSPACE, { recursive: true });
    makeEnvironment(python, PYSPARK);
    pip(PYSPARK, 'pyspark', 'ipykernel');
  });
}
