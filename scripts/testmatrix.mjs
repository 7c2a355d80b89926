// npm run test:matrix: every PySpark, every Python, and the oldest and newest that a server runs with.
// What follows `--` goes to pytest: npm run test:matrix -- -k spark-3.5

import { mkdirSync } from 'node:fs';
import { findChromium, REPORTS } from './chromium.mjs';
import { installMatrix, SPARKS } from './matrix.mjs';
import { lab, labEnvironment, PYSPARK, setup } from './setup.mjs';
import { attempt, main, say } from './tools.mjs';

await main(() => {
  setup();
  const environment = {
    ...labEnvironment(),
    CHROMIUM: findChromium(),
    PYSPARK_KERNELS_REPORTS: REPORTS,
    PYSPARK_KERNELS_TEST_ENVIRONMENT: PYSPARK,
    PYSPARK_KERNELS_TEST_MATRIX: installMatrix(SPARKS)
  };
  mkdirSync(REPORTS, { recursive: true });
  const given = process.argv.slice(2);
  say('Kernels and servers');
  const tests = ['server/tests/test_matrix.py', '--durations=0', ...given];
  const server = attempt(lab('pytest'), tests, environment);
  say('JupyterLab and Jupyter Notebook in the browser');
  const browser = attempt(
    lab('jlpm'),
    ['test:galata', 'labs.spec.ts'],
    environment
  );
  return server || browser;
});
