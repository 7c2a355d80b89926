// The real YARN and HDFS that the tests run on; nothing else needs them.

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PYSPARK } from './setup.mjs';
import { DEV, Failure, once, ROOT, run, say, which } from './tools.mjs';

/** The jars that PySpark does not bring. */
export const HADOOP = join(DEV, 'hadoop');

const POM = join(ROOT, 'scripts', 'hadoop', 'pom.xml');

/** Fetch the daemons that belong to the Hadoop client in PySpark. */
export function installHadoop() {
  const version = clientVersion();
  const daemons = join(HADOOP, `hadoop-client-minicluster-${version}.jar`);
  once('hadoop', [POM, version], [daemons], () => {
    if (!which('mvn')) {
      throw new Failure(
        'There is no Maven, which fetches the Hadoop that the tests run on. Install it, such as the package maven.'
      );
    }
    say('Installing Hadoop for the tests (65 MB)');
    rmSync(HADOOP, { recursive: true, force: true });
    run('mvn', [
      '--batch-mode',
      '--quiet',
      `--file=${POM}`,
      'dependency:copy',
      `-Dhadoop.version=${version}`,
      `-DoutputDirectory=${HADOOP}`
    ]);
  });
}

function clientVersion() {
  const libraries = join(PYSPARK, 'lib');
  for (const python of readdirSync(libraries)) {
    const jars = join(libraries, python, 'site-packages', 'pyspark', 'jars');
    for (const name of readdirSync(jars)) {
      const match = /^hadoop-client-api-(.+)\.jar$/.exec(name);
      if (match) {
        return match[1];
      }
    }
  }
  throw new Failure(`There is no Hadoop client in the PySpark of ${PYSPARK}.`);
}
