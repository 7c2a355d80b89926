import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { useLostFocus } from './focus';
import type { ITaskView } from './model';
import { endText, fractionOf, progressText } from './texts';

export interface ITaskProgressProps extends ITaskView {
  trans: TranslationBundle;
  /** Tell the task to stop. */
  onCancel: () => void;
  /** Take it up again; without it there is no button for that. */
  onResume?: () => void;
  /** Whether the log is to be seen at once. */
  showsLog?: boolean;
  /** What else there is to say after the end. */
  children?: React.ReactNode;
}

/**
 * How far a task is, or what became of it; and what can be done about it.
 */
export function TaskProgress(props: ITaskProgressProps): JSX.Element {
  const { task, problem, isRunning, trans, onCancel, onResume } = props;
  const isUndone = !isRunning && task.state !== 'done';
  const [isAsked, setAsked] = React.useState(false);
  React.useEffect(() => setAsked(false), [isRunning, problem]);
  const box = React.useRef<HTMLDivElement>(null);
  useLostFocus(() => box.current, isRunning, true);
  const cancel = (): void => {
    setAsked(true);
    onCancel();
  };
  return (
    <div
      ref={box}
      className="jp-PySparkKernels-task"
      role="group"
      aria-label={task.title}
      tabIndex={-1}
      data-state={task.state}
    >
      <div className="jp-PySparkKernels-taskHead">
        <div className="jp-PySparkKernels-taskText">
          <strong>{task.title}</strong>
          {isRunning && (
            <span>
              {isAsked ? trans.__('Stopping…') : progressText(task, trans)}
            </span>
          )}
        </div>
        {isRunning && (
          <button
            type="button"
            className="jp-PySparkKernels-button"
            aria-label={trans.__('Cancel: %1', task.title)}
            // A disabled button would lose the focus, and with it the keys of the dialog.
            aria-disabled={isAsked}
            onClick={isAsked ? undefined : cancel}
          >
            {trans.__('Cancel')}
          </button>
        )}
        {isUndone && onResume && task.state !== 'running' && (
          <button
            type="button"
            className="jp-PySparkKernels-button"
            aria-label={trans.__('Try again: %1', task.title)}
            onClick={onResume}
          >
            {task.state === 'interrupted'
              ? trans.__('Resume')
              : trans.__('Try again')}
          </button>
        )}
      </div>
      {isRunning && <Bar {...props} />}
      <div role={isUndone || problem ? 'alert' : 'status'}>
        {!isRunning && task.state !== 'running' && (
          <p className="jp-PySparkKernels-taskEnd">
            {endText(task, trans)} {props.children}
          </p>
        )}
        {problem && <p className="jp-PySparkKernels-taskEnd">{problem}</p>}
      </div>
      <TaskLog {...props} />
    </div>
  );
}

function Bar({ task, trans }: ITaskProgressProps): JSX.Element {
  const fraction = fractionOf(task);
  const percent = fraction === null ? undefined : Math.round(fraction * 100);
  return (
    <div
      className="jp-PySparkKernels-bar"
      role="progressbar"
      aria-label={task.title}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      aria-valuetext={progressText(task, trans)}
    >
      <div
        className={percent === undefined ? 'jp-mod-indeterminate' : ''}
        style={percent === undefined ? undefined : { width: `${percent}%` }}
      />
    </div>
  );
}

/**
 * What the task has printed. It follows the end, unless somebody reads further above.
 */
export function TaskLog(
  props: Pick<ITaskProgressProps, 'task' | 'trans' | 'showsLog'>
): JSX.Element {
  const { task, trans, showsLog } = props;
  const text = React.useRef<HTMLPreElement>(null);
  const isAtEnd = React.useRef(true);
  const follow = (): void => {
    if (text.current && isAtEnd.current) {
      text.current.scrollTop = text.current.scrollHeight;
    }
  };
  React.useEffect(follow, [task.log.length]);
  return (
    <details
      className="jp-PySparkKernels-log"
      open={showsLog || undefined}
      onToggle={follow}
    >
      <summary>{trans.__('Log')}</summary>
      <pre
        ref={text}
        tabIndex={0}
        role="region"
        aria-label={trans.__('Log: %1', task.title)}
        onScroll={({
          currentTarget: { scrollTop, scrollHeight, clientHeight }
        }) => {
          isAtEnd.current = scrollTop + clientHeight >= scrollHeight - 2;
        }}
      >
        {task.log.length > 0
          ? task.log.join('\n')
          : trans.__('Nothing was printed yet.')}
      </pre>
    </details>
  );
}
