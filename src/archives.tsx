/**
 * The dialog that lists packed environments. It is loaded when it is first opened.
 */

import { VDomModel, VDomRenderer } from '@jupyterlab/ui-components';
import * as React from 'react';
import { ApiError, type KeptArchive } from './api';
import { explain } from './explain';
import { useLostFocus } from './tasks/focus';
import { type ITaskServices, TaskModel } from './tasks/model';
import { shownTasks } from './tasks/shown';
import { bytesText } from './tasks/texts';
import { TaskView } from './tasks/view';
import { ViewDialog } from './tasks/viewdialog';

/**
 * Show what is packed, for which kernels, and what has changed since.
 */
export async function showArchivesDialog(
  services: ITaskServices
): Promise<void> {
  const { api, trans } = services;
  const model = new ArchivesModel(services, await api.archives());
  const title = trans.__('Packed PySpark Environments');
  await new ViewDialog(title, trans, new ArchivesView(model)).launch();
}

/**
 * What is packed, and the packing that was asked for.
 */
class ArchivesModel extends VDomModel {
  constructor(
    readonly services: ITaskServices,
    archives: readonly KeptArchive[]
  ) {
    super();
    this._archives = archives;
  }

  get archives(): readonly KeptArchive[] {
    return this._archives;
  }

  get unused(): readonly KeptArchive[] {
    return this._archives.filter(
      ({ used_by, kept_for_undo }) => used_by.length === 0 && !kept_for_undo
    );
  }

  get tasks(): readonly TaskModel[] {
    return this._tasks;
  }

  /**
   * What was done, or why it was not.
   */
  get news(): string {
    return this._news;
  }

  async packAgain(place: string, name: string): Promise<void> {
    await this._try(async () => {
      const { api } = this.services;
      const model = await shownTasks.during(
        async () => new TaskModel(this.services, await api.repack(place, name))
      );
      if (this.isDisposed) {
        model.dispose();
        return;
      }
      this._tasks = [model, ...this._tasks];
      void this._listWhenEnded(model);
    });
  }

  async removeUnused(): Promise<void> {
    await this._try(async () => {
      const { api, trans } = this.services;
      const removed = await api.sweep();
      this._archives = await api.archives();
      const bytes = removed.reduce((sum, archive) => sum + archive.bytes, 0);
      this._news = trans._n(
        '%1 packed environment was removed, which frees %2.',
        '%1 packed environments were removed, which frees %2.',
        removed.length,
        bytesText(bytes)
      );
    });
  }

  dispose(): void {
    if (this.isDisposed) {
      return;
    }
    super.dispose();
    for (const model of this._tasks) {
      model.dispose();
    }
  }

  private async _listWhenEnded(model: TaskModel): Promise<void> {
    await model.ended;
    if (!this.isDisposed) {
      await this._try(async () => {
        this._archives = await this.services.api.archives();
      });
    }
  }

  private async _try(work: () => Promise<void>): Promise<void> {
    this._news = '';
    try {
      await work();
    } catch (error) {
      this._news =
        error instanceof ApiError && error.errors.length > 0
          ? error.message
          : explain(error, this.services.trans);
    }
    if (!this.isDisposed) {
      this.stateChanged.emit();
    }
  }

  private _archives: readonly KeptArchive[];
  private _tasks: readonly TaskModel[] = [];
  private _news = '';
}

class ArchivesView extends VDomRenderer<ArchivesModel> {
  protected render(): JSX.Element {
    const { model } = this;
    const { archives, unused, tasks, news, services } = model;
    const { trans } = services;
    const bytes = unused.reduce((sum, archive) => sum + archive.bytes, 0);
    return (
      <>
        <div className="jp-PySparkKernels-scroll">
          {archives.length === 0 ? (
            <p>
              {trans.__(
                'Nothing is packed. A kernel that carries its environment to the executors packs it when it is created.'
              )}
            </p>
          ) : (
            <Table model={model} />
          )}
          {tasks.map(task => (
            <TaskView key={task.task.id} model={task} trans={trans} />
          ))}
        </div>
        <div className="jp-PySparkKernels-archivesFoot">
          <News text={news} archives={archives} />
          {unused.length > 0 && (
            <button
              type="button"
              className="jp-PySparkKernels-button"
              onClick={() => void model.removeUnused()}
            >
              {trans.__('Remove Unused (%1)', bytesText(bytes))}
            </button>
          )}
        </div>
      </>
    );
  }
}

/**
 * What was done. It takes the focus when the button that did it is gone.
 */
function News(props: {
  text: string;
  archives: readonly KeptArchive[];
}): JSX.Element {
  const text = React.useRef<HTMLParagraphElement>(null);
  useLostFocus(() => text.current, props.archives);
  return (
    <p ref={text} role="status" tabIndex={-1}>
      {props.text}
    </p>
  );
}

function Table({ model }: { model: ArchivesModel }): JSX.Element {
  const { trans } = model.services;
  return (
    <table className="jp-PySparkKernels-table jp-PySparkKernels-archives">
      <thead>
        <tr>
          <th scope="col">{trans.__('Environment')}</th>
          <th scope="col">{trans.__('Size')}</th>
          <th scope="col">{trans.__('Used by')}</th>
          <th scope="col">{trans.__('Changed since')}</th>
        </tr>
      </thead>
      <tbody>
        {model.archives.map(archive => (
          <Row
            key={`${archive.place}/${archive.path}`}
            archive={archive}
            model={model}
          />
        ))}
      </tbody>
    </table>
  );
}

function Row(props: {
  archive: KeptArchive;
  model: ArchivesModel;
}): JSX.Element {
  const { archive, model } = props;
  const { trans } = model.services;
  const { used_by, kept_for_undo, drift } = archive;
  const unused = kept_for_undo ? trans.__('only undo') : trans.__('no kernel');
  const outdated = drift === null ? [] : used_by;
  return (
    <tr>
      <td>
        {archive.environment}
        <div className="jp-PySparkKernels-description">
          {trans.__(
            'Python %1, packed on %2',
            archive.python_version,
            new Date(archive.created).toLocaleDateString()
          )}
        </div>
      </td>
      <td>{bytesText(archive.bytes)}</td>
      <td>{used_by.map(({ name }) => name).join(', ') || unused}</td>
      <td>
        {drift ?? trans.__('nothing')}
        {outdated.map(({ place, name }) => (
          <button
            key={`${place}/${name}`}
            type="button"
            className="jp-PySparkKernels-button"
            onClick={() => void model.packAgain(place, name)}
          >
            {trans.__('Pack Again for %1', name)}
          </button>
        ))}
      </td>
    </tr>
  );
}
