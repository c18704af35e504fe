@echo off
rem Installs if needed, then starts the Streamlit page, and the backend unless it is running. Paths are quoted because the folder may contain spaces and non-ASCII letters.
setlocal
chcp 65001 >nul
cd /d "%~dp0"
set "PHONOGRAM_PROGRAM=start_streamlit.bat"
set "PYTHONUTF8=1"
set "FITS=import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))"

rem Prefer the Python in .venv. It fails if the Python it was created from was removed.
if not exist ".venv\Scripts\python.exe" goto search
".venv\Scripts\python.exe" -c "%FITS%" >nul 2>nul
if errorlevel 1 goto search
".venv\Scripts\python.exe" "%~dp0launch.py" start streamlit %*
goto done

:search
for %%V in (3.13 3.12 3.11 3.10) do (
    py -%%V -c "%FITS%" >nul 2>nul
    if not errorlevel 1 (
        py -%%V "%~dp0launch.py" start streamlit %*
        goto done
    )
)
rem The python.exe stub of the Microsoft Store also fails here.
python -c "%FITS%" >nul 2>nul
if errorlevel 1 goto missing
python "%~dp0launch.py" start streamlit %*
goto done

:missing
echo No Python 3.10 to 3.13 was found. Installed version:
python --version
echo Install one of them from python.org and tick "Add python.exe to PATH"; administrator rights are not needed.
echo Then run this file again.
pause
exit /b 1

:done
if errorlevel 1 (
    echo.
    echo Phonogram stopped with an error; the reason is above.
    pause
    exit /b 1
)
endlocal
