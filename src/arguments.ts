/**
 * The arguments of the commands, for those who ask. Nobody does at JupyterLab's start.
 */

import type { TranslationBundle } from '@jupyterlab/translation';
import type { KernelConfig } from './api';

/**
 * The fields that a command can fill in beforehand. The compiler finds one that is missing.
 */
const FIELDS: Record<keyof KernelConfig, { type: string }> = {
  template: { type: 'string' },
  choices: { type: 'array' },
  display_name: { type: 'string' },
  environment: { type: 'string' },
  master: { type: 'string' },
  executor_memory: { type: 'string' },
  executor_cores: { type: 'integer' },
  place: { type: 'string' },
  name: { type: 'string' },
  driver_memory: { type: 'string' },
  executor_instances: { type: 'integer' },
  cores_max: { type: 'integer' },
  idle_release_minutes: { type: 'integer' },
  idle_stop_minutes: { type: 'integer' },
  driver_start: { type: 'string' },
  spark_home: { type: 'string' },
  executor_python: { type: 'string' },
  carry: { type: 'boolean' },
  carry_everything: { type: 'boolean' },
  archive_directory: { type: 'string' },
  ipython_profile: { type: 'string' },
  queue: { type: 'string' },
  labels: { type: 'object' },
  proxy_user: { type: 'string' },
  principal: { type: 'string' },
  keytab: { type: 'string' },
  secrets: { type: 'object' },
  conf: { type: 'object' },
  env: { type: 'object' },
  per_user: { type: 'array' }
};

/**
 * None at all.
 */
export const NONE = { args: { type: 'object', properties: {} } };

/**
 * Those of the command that creates a kernel.
 */
export function ofFields(trans: TranslationBundle) {
  return {
    args: {
      type: 'object',
      properties: {
        ...FIELDS,
        cwd: {
          type: 'string',
          description: trans.__('The folder of the first notebook')
        },
        isLauncher: {
          type: 'boolean',
          description: trans.__('Whether the command is a tile')
        }
      }
    }
  };
}

/**
 * Those of a command that does something with one kernel.
 */
export function ofKernel(trans: TranslationBundle) {
  return {
    args: {
      type: 'object',
      properties: {
        place: {
          type: 'string',
          description: trans.__('The id of the directory that holds it')
        },
        name: {
          type: 'string',
          description: trans.__('The name of the kernel')
        }
      },
      required: ['place', 'name']
    }
  };
}

/**
 * Those of the command that edits a kernel.
 */
export function ofEdit(trans: TranslationBundle) {
  const { args } = ofKernel(trans);
  const changes = {
    type: 'object',
    description: trans.__('What the form has in place of what is stored'),
    properties: FIELDS
  };
  return { args: { ...args, properties: { ...args.properties, changes } } };
}

/**
 * Those of the command that opens Spark's UI.
 */
export function ofNotebook(trans: TranslationBundle) {
  return {
    args: {
      type: 'object',
      properties: {
        notebook: {
          type: 'string',
          description: trans.__(
            'The id of the notebook’s panel; the current one where it is left out'
          )
        },
        kernel: {
          type: 'string',
          description: trans.__('The id of a kernel, in place of a notebook')
        },
        name: {
          type: 'string',
          description: trans.__('What that kernel is called')
        }
      }
    }
  };
}

/**
 * Those of a command that shows tasks.
 */
export function ofTask(trans: TranslationBundle) {
  return {
    args: {
      type: 'object',
      properties: {
        id: {
          type: 'string',
          description: trans.__('Show the log of this task, and no other')
        }
      }
    }
  };
}
