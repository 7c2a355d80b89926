// npm test: sets up and runs everything: lint, types, jest, pytest, galata in a real Chromium.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findChromium, REPORTS } from './chromium.mjs';
import { CLOUD_INIT, unpackCloudInit } from './cloudinit.mjs';
import { CONNECT, findNginx, installConnect } from './connect.mjs';
import { HADOOP, installHadoop } from './hadoop.mjs';
import { installEnds } from './matrix.mjs';
import { lab, labEnvironment, PYSPARK, setup } from './setup.mjs';
import { attempt, Failure, main, say } from './tools.mjs';

/** Every step: what it is, what it runs, and the report that counts its tests. */
const STEPS = [
  { name: 'Python: lint', command: [lab('ruff'), 'check', '.'] },
  { name: 'Python: format', command: [lab('ruff'), 'format', '--check', '.'] },
  { name: 'Python: types', command: [lab('mypy')] },
  { name: 'TypeScript: lint and types', command: [lab('jlpm'), 'lint:check'] },
  {
    name: 'jest',
    command: [
      lab('jlpm'),
      'test:jest',
      '--json',
      `--outputFile=${REPORTS}/jest.json`
    ],
    count: () => {
      const { numPassedTests, numFailedTests } = report('jest.json');
      return [numPassedTests, numFailedTests];
    }
  },
  {
    name: 'pytest',
    // Most tests wait for a Spark that starts on one core. A file is one worker's, as its tests
    // share a cluster or a hub; two workers, as each Spark wants a GiB.
    command: [
      lab('pytest'),
      '--numprocesses=2',
      '--dist=loadfile',
      `--junitxml=${REPORTS}/pytest.xml`
    ],
    count: () => {
      const text = readFileSync(join(REPORTS, 'pytest.xml'), 'utf8');
      const [tests, failures, errors, skipped] = [
        'tests',
        'failures',
        'errors',
        'skipped'
      ].map(name => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(text)?.[1]));
      return [tests - failures - errors - skipped, failures + errors];
    }
  },
  {
    name: 'galata',
    command: [lab('jlpm'), 'test:galata'],
    count: () => {
      const { expected, unexpected, flaky } = report('galata.json').stats;
      return [expected + flaky, unexpected];
    }
  }
];

function report(name) {
  const path = join(REPORTS, name);
  if (!existsSync(path)) {
    throw new Failure(
      `The tests wrote no ${path}, so nothing says that they ran.`
    );
  }
  return JSON.parse(readFileSync(path, 'utf8'));
}

await main(() => {
  const python = setup();
  installConnect(python);
  installHadoop();
  unpackCloudInit();
  const environment = {
    ...labEnvironment(),
    CHROMIUM: findChromium(),
    PYSPARK_KERNELS_TEST_CLOUD_INIT: CLOUD_INIT,
    PYSPARK_KERNELS_TEST_CONNECT: CONNECT,
    PYSPARK_KERNELS_TEST_ENVIRONMENT: PYSPARK,
    PYSPARK_KERNELS_TEST_HADOOP: HADOOP,
    PYSPARK_KERNELS_TEST_MATRIX: installEnds(),
    PYSPARK_KERNELS_TEST_NGINX: findNginx(),
    PYSPARK_KERNELS_REPORTS: REPORTS
  };
  mkdirSync(REPORTS, { recursive: true });
  const results = STEPS.map(({ name, command: [program, ...args], count }) => {
    say(name);
    const started = Date.now();
    const ok = attempt(program, args, environment) === 0;
    return {
      name,
      ok,
      count,
      seconds: Math.round((Date.now() - started) / 1000)
    };
  });
  console.log('');
  let [passed, failed] = [0, 0];
  for (const { name, ok, count, seconds } of results) {
    console.log(`${ok ? '✓' : '✗'} ${name} (${seconds} s)`);
    const [good, bad] = count?.() ?? [0, 0];
    passed += good;
    failed += bad;
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  return results.every(({ ok }) => ok) ? 0 : 1;
});
