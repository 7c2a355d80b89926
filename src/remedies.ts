/**
 * What the page can do about a diagnosis, wherever one is shown.
 */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Api, Diagnosis, Kernel } from './api';
import { orExplain } from './explain';
import { shownTasks } from './tasks/shown';

/**
 * What a remedy is done with.
 */
export interface IRemedyServices {
  api: Api;
  commands: JupyterFrontEnd['commands'];
  trans: TranslationBundle;
}

/**
 * A button that does something about a diagnosis.
 */
export interface IRemedyButton {
  label: string;
  run: () => Promise<unknown>;
}

type Remedied = Pick<Kernel, 'place' | 'name' | 'config' | 'writable'>;

/**
 * Give the button for a diagnosis of a kernel.
 *
 * @returns null when there is nothing that this user could do from here.
 */
export function remedyButton(
  diagnosis: Diagnosis,
  kernel: Remedied,
  services: IRemedyServices
): IRemedyButton | null {
  const { remedy } = diagnosis;
  const { api, commands, trans } = services;
  const { place, name, config, writable } = kernel;
  if (remedy === 'install-ipykernel') {
    return config && installButton(config.environment, api, trans);
  }
  const button = (label: string, command: string): IRemedyButton | null =>
    commands.hasCommand(command)
      ? { label, run: () => commands.execute(command, { place, name }) }
      : null;
  if (remedy === 'test') {
    return button(trans.__('Test'), 'pyspark-kernels:test');
  }
  if (!writable || remedy === null) {
    return null;
  }
  if (remedy === 'repack') {
    return button(trans.__('Pack Again'), 'pyspark-kernels:repack');
  }
  const label = editLabels(trans)[remedy];
  return label && config ? button(label, 'pyspark-kernels:edit') : null;
}

/**
 * The remedies that are a change of the kernel, each with what there is to change.
 */
function editLabels(trans: TranslationBundle): Record<string, string> {
  return {
    'choose-environment': trans.__('Choose Another Environment…'),
    'choose-spark-home': trans.__('Choose the Spark Home…'),
    'choose-java': trans.__('Set JAVA_HOME…'),
    carry: trans.__('Carry the Environment…'),
    'edit-settings': trans.__('Edit the Settings…'),
    'edit-master': trans.__('Edit the Master…'),
    'edit-memory': trans.__('Edit the Memory…'),
    'lower-executor': trans.__('Ask for Smaller Executors…'),
    'limit-cores': trans.__('Limit the Cores…'),
    'set-driver-host': trans.__('Set the Driver’s Host…'),
    'edit-keytab': trans.__('Choose Another Keytab…'),
    'edit-proxy-user': trans.__('Change the Proxy User…')
  };
}

function installButton(
  environment: string,
  api: Api,
  trans: TranslationBundle
): IRemedyButton {
  return {
    label: trans.__('Install ipykernel'),
    run: () =>
      orExplain(trans.__('Nothing was installed'), trans, async () => {
        // A notification shows how far it is.
        shownTasks.release(await api.makeReady(environment));
      })
  };
}
