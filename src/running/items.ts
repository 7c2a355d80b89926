/**
 * What the panel of running sessions says of a Spark application, purely.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { Application } from '../api';

/**
 * Give what stands beside a name: whether there is a kernel, the master, the cores and the stage.
 */
export function detailOf(
  { kernel, master, cores, stage }: Application,
  trans: TranslationBundle
): string {
  return [
    kernel === 'running' ? null : trans.__('no kernel'),
    master,
    cores === null ? null : trans._n('%1 core', '%1 cores', cores),
    stage === null || kernel === 'application' ? null : stageOf(stage, trans)
  ]
    .filter(part => part)
    .join(' · ');
}

/**
 * Say everything that is known of an application.
 */
export function tooltipOf(
  application: Application,
  trans: TranslationBundle
): string {
  const { name, path, since, busy } = application;
  const at = since && new Date(since).toLocaleString();
  return [
    trans.__('Kernel: %1', name),
    path && trans.__('Notebook: %1', path),
    application.application_id &&
      trans.__('Application: %1', application.application_id),
    at && trans.__('Since: %1', at),
    detailOf(application, trans),
    busy && trans.__('A cell is running'),
    whyNoKernel(application, trans)
  ]
    .filter(part => part)
    .join('\n');
}

/**
 * Say what a stop does to an application.
 */
export function consequenceOf(
  application: Application,
  trans: TranslationBundle
): string {
  const lost = whyNoKernel(application, trans);
  switch (application.kernel) {
    case 'running': {
      const keeps = trans.__(
        'The kernel and the variables of Python stay, and the next cell that needs Spark starts it again. Cached data and temporary views are lost.'
      );
      return application.busy
        ? `${trans.__('A cell is running: its Spark jobs will fail.')} ${keeps}`
        : keeps;
    }
    case 'process':
      return `${lost} ${trans.__('It ends, and its variables are lost.')}`;
    default:
      return `${lost} ${trans.__('What it computes is lost.')}`;
  }
}

/**
 * Say what stopping several does.
 */
export function consequenceOfAll(
  applications: readonly Application[],
  trans: TranslationBundle
): string {
  const busy = applications.filter(one => one.busy).length;
  const lost = applications.filter(one => one.kernel !== 'running').length;
  return [
    trans.__(
      'Kernels and the variables of Python stay, and the next cell that needs Spark starts it again. Cached data and temporary views are lost.'
    ),
    busy > 0 &&
      trans._n(
        '%1 kernel runs a cell, whose Spark jobs will fail.',
        '%1 kernels run a cell, whose Spark jobs will fail.',
        busy
      ),
    lost > 0 &&
      trans._n(
        '%1 application has no kernel of this server and ends with all that it has.',
        '%1 applications have no kernel of this server and end with all that they have.',
        lost
      )
  ]
    .filter(part => part)
    .join(' ');
}

function whyNoKernel(
  { kernel }: Application,
  trans: TranslationBundle
): string | null {
  switch (kernel) {
    case 'running':
      return null;
    case 'process':
      return trans.__(
        'The kernel still runs, and the Jupyter server that had it is gone.'
      );
    case 'driver':
      return trans.__(
        'The kernel is gone, and the Spark that it had still runs on this machine.'
      );
    case 'application':
      return trans.__(
        'The kernel is gone, and the cluster still runs the application.'
      );
  }
}

function stageOf(stage: string, trans: TranslationBundle): string {
  switch (stage) {
    case 'ready':
      return trans.__('ready');
    case 'released':
      return trans.__('executors released');
    case 'executors':
      return trans.__('waiting for executors');
    case 'returning':
      return trans.__('coming back');
    default:
      return trans.__('starting');
  }
}
