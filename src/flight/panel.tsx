import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { useLostFocus } from '../tasks/focus';
import type { ITaskView } from '../tasks/model';
import { TaskLog, TaskProgress } from '../tasks/progress';
import type { ITested } from './trial';
import { FlightView, type OnRemedy } from './view';

/**
 * A test in a dialog: how far it is, then what came of it.
 */
export function TrialPanel(props: {
  task: ITaskView | null;
  tested: ITested | null;
  /** Whether other values stand in the form than those that were tested. */
  isOfOthers: boolean;
  trans: TranslationBundle;
  onCancel: () => void;
  onHide: () => void;
  onRemedy: OnRemedy;
  /** What takes the focus when the panel that had it is gone. */
  home: HTMLElement | null;
}): JSX.Element | null {
  const { task, tested, isOfOthers, trans, onCancel, onHide, onRemedy } = props;
  const box = React.useRef<HTMLDivElement>(null);
  const shown = task ? 'task' : tested ? 'tested' : null;
  useLostFocus(() => box.current ?? props.home, shown);
  if (shown === null) {
    return null;
  }
  return (
    <div
      ref={box}
      className="jp-PySparkKernels-trial"
      role="region"
      aria-label={trans.__('Test')}
      tabIndex={0}
    >
      {task && <TaskProgress {...task} trans={trans} onCancel={onCancel} />}
      {tested && (
        <>
          <button
            type="button"
            className="jp-PySparkKernels-button jp-PySparkKernels-hide"
            onClick={onHide}
          >
            {trans.__('Hide')}
          </button>
          <p className="jp-PySparkKernels-ofOthers" role="status">
            {isOfOthers &&
              trans.__(
                'This is of other values than those above. Test again to know of these.'
              )}
          </p>
          <FlightView
            flight={tested.flight}
            trans={trans}
            onRemedy={onRemedy}
          />
          <TaskLog task={tested.task} trans={trans} />
        </>
      )}
    </div>
  );
}
